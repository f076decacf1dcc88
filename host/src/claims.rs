//! Which plugin has which name, and which kind where: no two have the same without being asked to.
//!
//! A name is a field manager, a lease and a label of metrics, so it is one plugin's. A kind that two reconcile
//! in the same namespaces has two answers to each question, which is right only for plugins that know of each
//! other: it is refused, unless one of the two allows it. Who has it then is the same on each host, and after each
//! start: [`Rank`](has::Rank). What other hosts run counts as what this one has, where each plugin has a lease.

mod has;
#[cfg(test)]
mod tests;

use std::cmp::Ordering::{Greater, Less};
use std::collections::HashMap;

use serde_json::Value;
use wheelhouse_core::Spec;

pub(crate) use self::has::{Age, Note};
use self::has::{Has, place};
use crate::leader::Elsewhere;
use crate::plugin_id::PluginId;
use crate::preparation::{Problem, Step};

/// What one plugin has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    id: PluginId,
    has: Has,
}

impl Claim {
    /// `age` is that of the plugin's resource, if it has one.
    pub(crate) fn new(id: &PluginId, spec: &Spec, age: Option<Age>, shares: bool) -> Self {
        Self { id: id.clone(), has: Has::new(id, spec, age.unwrap_or_default(), shares) }
    }

    /// Whether who has this has that as well.
    fn covers(&self, other: &Self) -> bool {
        self.id == other.id && self.has.covers(&other.has)
    }
}

/// A claim, and when it was made.
#[derive(Debug)]
struct Held {
    claim: Claim,
    since: u64,
    /// Nothing of it runs: its kind is free, and its name is not.
    rests: bool,
}

impl Held {
    /// Whether it counts more than one that was made then, or is not made yet.
    fn precedes(&self, claim: &Claim, since: Option<u64>) -> bool {
        let is_before = || since.is_none_or(|since| self.since < since);
        self.claim.has.rank.cmp(&claim.has.rank).then_with(|| if is_before() { Less } else { Greater })
            == Less
    }
}

/// By the plugins' names.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: HashMap<String, Held>,
    /// Claims that were made.
    made: u64,
    /// What other hosts run.
    elsewhere: Elsewhere<Note>,
}

impl Claims {
    /// Whose a name is.
    pub(crate) fn holder(&self, name: &str) -> Option<&PluginId> {
        self.held.get(name).map(|held| &held.claim.id)
    }

    /// Each name and whose it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &PluginId)> {
        self.held.iter().map(|(name, held)| (name, &held.claim.id))
    }

    /// Whether a plugin may have this, or goes on having it; otherwise why not, by now.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) fn check(&self, name: &str, claim: &Claim) -> Result<(), Problem> {
        let taken = |reason, message| Problem { step: Step::Grant, reason, message, waits: true };
        if let Some(holder) = self.holder(name).filter(|holder| **holder != claim.id) {
            let message = format!(
                "a plugin named {name} is already loaded from {holder}; remove one, or give it another name"
            );
            return Err(taken("NameTaken", message));
        }
        let since = self.own(claim).map(|own| own.since);
        let precedes = |(other, held): &(&String, &Held)| match self.knows_elsewhere() {
            true => place(other, &held.claim.has) < place(name, &claim.has),
            false => held.precedes(claim, since),
        };
        let here = self.meeting(claim).filter(precedes);
        // The host that runs it says where it is from.
        let here = here.filter(|(name, _)| self.elsewhere().all(|note| note.plugin != **name));
        let here = here.map(|(name, other)| (name, &other.claim.has));
        let there = self.meeting_elsewhere(name, claim).map(|other| (&other.plugin, &other.has));
        let there = there.filter(|&(other, has)| place(other, has) < place(name, &claim.has));
        let refusing = here.chain(there).filter(|(_, has)| !claim.has.shares_with(has));
        // Each host names the same one: who has none of it run has a say in its status.
        match refusing.min_by_key(|&(other, has)| place(other, has)) {
            Some((other, has)) => {
                let message = format!(
                    "{} is reconciled by the plugin {other} of {}, in the same namespaces; remove one, or write allowSharedKind: true in the grant of a file, or the spec of a resource, if they are meant for each other",
                    has.kind, has.of
                );
                Err(taken("KindTaken", message))
            }
            None => Ok(()),
        }
    }

    /// What the plugin has already of this, and works with.
    fn own(&self, claim: &Claim) -> Option<&Held> {
        self.held.values().find(|own| own.claim.covers(claim) && !own.rests)
    }

    /// Others that reconcile some of the same, with their names.
    fn meeting(&self, claim: &Claim) -> impl Iterator<Item = (&String, &Held)> {
        let others = self.held.iter().filter(|(_, other)| other.claim.id != claim.id && !other.rests);
        others.filter(|(_, other)| other.claim.has.meets(&claim.has))
    }

    /// Likewise of what other hosts run. What has the same name there is at work under the same lease, and not meant.
    fn meeting_elsewhere(&self, name: &str, claim: &Claim) -> impl Iterator<Item = &Note> {
        self.elsewhere().filter(move |note| note.plugin != name && note.has.meets(&claim.has))
    }

    fn elsewhere(&self) -> impl Iterator<Item = &Note> {
        if let Elsewhere::Known(notes) = &self.elsewhere { notes.iter() } else { [].iter() }
    }

    /// From now on this is what other hosts run; whether it is news.
    pub(crate) fn heed(&mut self, elsewhere: Elsewhere<Note>) -> bool {
        let is_news = self.elsewhere != elsewhere;
        self.elsewhere = elsewhere;
        is_news
    }

    /// Whether one has looked what other hosts run.
    pub(crate) fn knows_elsewhere(&self) -> bool {
        self.elsewhere != Elsewhere::Unknown
    }

    /// What a plugin has, for other hosts.
    pub(crate) fn note(&self, id: &PluginId) -> Option<Value> {
        let (plugin, held) = self.of(id)?;
        serde_json::to_value(Note { plugin: plugin.clone(), has: held.claim.has.clone() }).ok()
    }

    /// The plugins that this host knows nothing of, and with which this one shares its kind.
    pub(crate) fn sharing_elsewhere(&self, id: &PluginId) -> Vec<String> {
        let Some((name, own)) = self.of(id) else { return Vec::new() };
        let shares =
            |note: &&Note| note.has.shares_with(&own.claim.has) && !self.held.contains_key(&note.plugin);
        self.meeting_elsewhere(name, &own.claim).filter(shares).map(|note| note.plugin.clone()).collect()
    }

    fn of(&self, id: &PluginId) -> Option<(&String, &Held)> {
        self.held.iter().find(|(_, held)| held.claim.id == *id)
    }

    /// From now on the plugin has this, and nothing that it had before. The names of those that share its kind.
    ///
    /// # Errors
    /// Who has it; nothing is changed.
    pub(crate) fn take(&mut self, name: &str, claim: Claim) -> Result<Vec<String>, Problem> {
        self.check(name, &claim)?;
        Ok(self.put(name, claim))
    }

    /// Likewise of what runs already: whether it goes on having it is for [`Self::uphold`].
    pub(crate) fn put(&mut self, name: &str, claim: Claim) -> Vec<String> {
        let shares = |(_, other): &(&String, &Held)| claim.has.shares_with(&other.claim.has);
        let sharing = self.meeting(&claim).filter(shares).map(|(name, _)| name.clone()).collect();
        self.made += 1;
        let before = self.own(&claim).map(|own| own.since);
        self.release(&claim.id);
        self.held.insert(name.to_owned(), Held { claim, since: before.unwrap_or(self.made), rests: false });
        sharing
    }

    /// Whether a plugin that has its kind allows others to have it too is another matter from now on; whether it is.
    pub(crate) fn share(&mut self, id: &PluginId, shares: bool) -> bool {
        let own = self.held.values_mut().find(|held| held.claim.id == *id);
        own.is_some_and(|own| std::mem::replace(&mut own.claim.has.shares, shares) != shares)
    }

    /// Whether a plugin goes on having what it has.
    ///
    /// # Errors
    /// Who has it by now.
    pub(crate) fn uphold(&self, id: &PluginId) -> Result<(), Problem> {
        self.of(id).map_or(Ok(()), |(name, held)| self.check(name, &held.claim))
    }

    /// It keeps its name alone until it runs again; whether it had more.
    pub(crate) fn rest(&mut self, id: &PluginId) -> bool {
        let own = self.held.values_mut().find(|held| held.claim.id == *id);
        own.is_some_and(|own| !std::mem::replace(&mut own.rests, true))
    }

    /// It has nothing any more; whether it had anything.
    pub(crate) fn release(&mut self, id: &PluginId) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| held.claim.id != *id);
        self.held.len() != before
    }
}
