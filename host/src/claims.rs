//! Which plugin has which name, and which kind where: no two have the same without being asked to.
//!
//! A name is a field manager, a lease and a label of metrics, so it is one plugin's. A kind that two reconcile
//! in the same namespaces has two answers to each question, which is right only for plugins that know of each
//! other: it is refused, unless one of the two allows it. Who has it then is the same on each host, and after each
//! start: [`Rank`].

use std::cmp::Ordering::{Greater, Less};
use std::collections::HashMap;

use wheelhouse_core::{Kind, Spec};

use crate::plugin_id::PluginId;
use crate::preparation::{Problem, Step};
use crate::source::Ordered;

/// Whose claim counts more: the smaller. Files are first come, first served; what is the whole cluster's comes before
/// what is a namespace's, and the older resource before the younger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    Cluster(Age),
    Namespace(Age),
}

/// Of a resource: when it was created, and its UID.
type Age = (String, String);

/// What one plugin has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    id: PluginId,
    rank: Rank,
    kind: Kind,
    /// All if empty.
    namespaces: Vec<String>,
    /// Whether another may reconcile the same.
    shares: bool,
}

impl Claim {
    /// `ordered` is what the plugin's resource says, if it has one.
    pub(crate) fn new(id: &PluginId, spec: &Spec, ordered: Option<&Ordered>, shares: bool) -> Self {
        let (kind, namespaces) = (spec.reconciles.kind.clone(), spec.reconciles.namespaces.clone());
        let age = ordered.map(|ordered| (ordered.created.clone(), ordered.uid.clone())).unwrap_or_default();
        let rank = match (id.file(), id.namespace()) {
            (Some(_), _) => Rank::File,
            (None, None) => Rank::Cluster(age),
            (None, Some(_)) => Rank::Namespace(age),
        };
        Self { id: id.clone(), rank, kind, namespaces, shares }
    }

    fn meets(&self, other: &Self) -> bool {
        let everywhere = self.namespaces.is_empty() || other.namespaces.is_empty();
        self.kind == other.kind
            && (everywhere || self.namespaces.iter().any(|namespace| other.namespaces.contains(namespace)))
    }

    /// Whether who has this has that as well.
    fn covers(&self, other: &Self) -> bool {
        let has = |namespace| self.namespaces.contains(namespace);
        let everywhere = self.namespaces.is_empty();
        let all = everywhere || (!other.namespaces.is_empty() && other.namespaces.iter().all(has));
        self.id == other.id && self.kind == other.kind && all
    }

    fn shares_with(&self, other: &Self) -> bool {
        self.shares || other.shares
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
        self.claim.rank.cmp(&claim.rank).then_with(|| if is_before() { Less } else { Greater }) == Less
    }
}

/// By the plugins' names.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: HashMap<String, Held>,
    /// Claims that were made.
    made: u64,
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
        let since = self.held.values().find(|own| own.claim.covers(claim)).map(|own| own.since);
        let refuses = |other: &Held| !claim.shares_with(&other.claim) && other.precedes(claim, since);
        match self.meeting(claim).find(|(_, other)| refuses(other)) {
            Some((other, held)) => {
                let message = format!(
                    "{} is reconciled by the plugin {other} of {}, in the same namespaces; remove one, or write allowSharedKind: true in the grant of a file, or the spec of a resource, if they are meant for each other",
                    claim.kind, held.claim.id
                );
                Err(taken("KindTaken", message))
            }
            None => Ok(()),
        }
    }

    /// Others that reconcile some of the same, with their names.
    fn meeting(&self, claim: &Claim) -> impl Iterator<Item = (&String, &Held)> {
        let others = self.held.iter().filter(|(_, other)| other.claim.id != claim.id && !other.rests);
        others.filter(|(_, other)| other.claim.meets(claim))
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
        let shares = |(_, other): &(&String, &Held)| claim.shares_with(&other.claim);
        let sharing = self.meeting(&claim).filter(shares).map(|(name, _)| name.clone()).collect();
        self.made += 1;
        let before = self.held.values().find(|own| own.claim.covers(&claim)).map(|own| own.since);
        self.release(&claim.id);
        self.held.insert(name.to_owned(), Held { claim, since: before.unwrap_or(self.made), rests: false });
        sharing
    }

    /// Whether a plugin that has its kind allows others to have it too is another matter from now on; whether it is.
    pub(crate) fn share(&mut self, id: &PluginId, shares: bool) -> bool {
        let own = self.held.values_mut().find(|held| held.claim.id == *id);
        own.is_some_and(|own| std::mem::replace(&mut own.claim.shares, shares) != shares)
    }

    /// Whether a plugin goes on having what it has.
    ///
    /// # Errors
    /// Who has it by now.
    pub(crate) fn uphold(&self, id: &PluginId) -> Result<(), Problem> {
        let own = self.held.iter().find(|(_, held)| held.claim.id == *id);
        own.map_or(Ok(()), |(name, held)| self.check(name, &held.claim))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PluginId {
        PluginId::Resource { namespace: String::new(), name: name.to_owned() }
    }

    /// Of a ClusterPlugin that is the older, the less its name is.
    fn claim(of: &str, namespaces: &[&str], shares: bool) -> Claim {
        let namespaces = namespaces.iter().map(|namespace| (*namespace).to_owned()).collect();
        let rank = Rank::Cluster((of.to_owned(), String::new()));
        Claim { id: id(of), rank, kind: "v1/ConfigMap".parse().unwrap(), namespaces, shares }
    }

    fn file(of: &str, namespaces: &[&str]) -> Claim {
        Claim { id: PluginId::File(of.into()), rank: Rank::File, ..claim("", namespaces, false) }
    }

    fn tenant(of: &str, shares: bool) -> Claim {
        let id = PluginId::Resource { namespace: "x".to_owned(), name: of.to_owned() };
        Claim { id, rank: Rank::Namespace((of.to_owned(), String::new())), ..claim("", &["x"], shares) }
    }

    fn reason(claims: &Claims, name: &str, claim: &Claim) -> Option<&'static str> {
        claims.check(name, claim).err().map(|problem| problem.reason)
    }

    fn upheld(claims: &Claims, of: &Claim) -> Option<&'static str> {
        claims.uphold(&of.id).err().map(|problem| problem.reason)
    }

    #[test]
    fn a_name_is_one_plugins_until_it_lets_go() {
        let mut claims = Claims::default();
        claims.take("p", claim("a", &["x"], false)).unwrap();
        assert_eq!(reason(&claims, "p", &claim("b", &["y"], true)), Some("NameTaken"));
        assert_eq!(reason(&claims, "p", &claim("a", &["y"], false)), None, "it is its own");
        claims.take("q", claim("a", &["x"], false)).unwrap();
        assert_eq!(reason(&claims, "p", &claim("b", &["y"], false)), None, "it has another name now");
        assert_eq!(claims.holder("q"), Some(&id("a")));
        assert!(claims.release(&id("a")) && !claims.release(&id("a")));
        assert_eq!(claims.holder("q"), None);
    }

    #[test]
    fn a_kind_is_shared_where_one_of_the_two_allows_it_or_they_do_not_meet() {
        for (held, shares, wants, too, expected) in [
            (&["x"][..], false, &["x", "y"][..], false, Some("KindTaken")),
            (&[], false, &["x"], false, Some("KindTaken")),
            (&["x"], false, &[], false, Some("KindTaken")),
            (&["x"], false, &["y"], false, None),
            (&["x"], true, &["x"], false, None),
            (&["x"], false, &["x"], true, None),
        ] {
            let mut claims = Claims::default();
            claims.take("p", claim("a", held, shares)).unwrap();
            assert_eq!(reason(&claims, "q", &claim("b", wants, too)), expected, "{held:?} {wants:?}");
        }
        let mut claims = Claims::default();
        let other = Claim { kind: "v1/Secret".parse().unwrap(), ..claim("a", &[], false) };
        claims.take("p", other).unwrap();
        assert_eq!(reason(&claims, "q", &claim("b", &[], false)), None, "another kind");
    }

    #[test]
    fn whoever_was_loaded_first_the_same_one_has_the_kind_in_the_end() {
        let (a, b) = (claim("a", &["x"], false), claim("b", &["x", "y"], false));
        for (less, more) in [
            (&b, &a),
            (&tenant("t", false), &b),
            (&tenant("u", false), &tenant("t", false)),
            (&a, &file("f", &[])),
        ] {
            let mut claims = Claims::default();
            claims.take("less", less.clone()).unwrap();
            assert_eq!(upheld(&claims, less), None);
            assert_eq!(claims.take("more", more.clone()), Ok(Vec::new()), "nothing is shared");
            assert_eq!((upheld(&claims, less), upheld(&claims, more)), (Some("KindTaken"), None));
            assert_eq!(reason(&claims, "less", less), Some("KindTaken"), "{less:?}");
            // Once one of the two allows it, and until it does so no more.
            assert!(claims.share(&less.id, true) && !claims.share(&less.id, true));
            assert_eq!(upheld(&claims, less), None);
            assert_eq!(claims.take("more", more.clone()), Ok(vec!["less".to_owned()]));
            assert!(claims.share(&less.id, false));
            assert_eq!((upheld(&claims, less), upheld(&claims, more)), (Some("KindTaken"), None));
            claims.release(&more.id);
            assert_eq!(upheld(&claims, less), None);
        }
    }

    #[test]
    fn what_does_not_run_keeps_nobody_from_its_kind() {
        let mut claims = Claims::default();
        let (elder, younger) = (claim("a", &["x"], false), claim("b", &["x"], false));
        claims.take("a", elder.clone()).unwrap();
        assert_eq!(reason(&claims, "b", &younger), Some("KindTaken"));
        assert!(claims.rest(&elder.id) && !claims.rest(&elder.id));
        assert_eq!(claims.take("b", younger.clone()), Ok(Vec::new()));
        assert_eq!(reason(&claims, "a", &younger), Some("NameTaken"), "it has its name");
        claims.take("a", elder.clone()).unwrap();
        assert_eq!((upheld(&claims, &elder), upheld(&claims, &younger)), (None, Some("KindTaken")));
    }

    #[test]
    fn of_two_files_the_first_has_it_as_far_as_it_wants_no_more_than_it_had() {
        let mut claims = Claims::default();
        let (first, second) = (file("z", &["x"]), file("a", &["y"]));
        claims.take("z", first.clone()).unwrap();
        assert_eq!(reason(&claims, "a", &file("a", &["x", "y"])), Some("KindTaken"));
        claims.take("a", second.clone()).unwrap();
        claims.take("z", first).unwrap();
        assert_eq!(reason(&claims, "z", &file("z", &["x", "y"])), Some("KindTaken"));
        assert_eq!(reason(&claims, "z", &file("z", &[])), Some("KindTaken"));
        assert_eq!(upheld(&claims, &second), None);
        // What runs and takes more has to let go of it.
        claims.put("z", file("z", &["x", "y"]));
        assert_eq!((upheld(&claims, &file("z", &[])), upheld(&claims, &second)), (Some("KindTaken"), None));
    }
}
