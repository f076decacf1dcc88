//! Which plugin has which name, and which kind where: no two have the same without being asked to.
//!
//! A name is a field manager, a lease and a label of metrics, so it is one plugin's. A kind that two reconcile
//! in the same namespaces has two answers to each question, which is right only for plugins that know of each
//! other: it is refused, unless one of the two allows it. First come, first served.

use std::collections::HashMap;

use wheelhouse_core::{Kind, Spec};

use crate::plugin_id::PluginId;
use crate::preparation::{Problem, Step};

/// What one plugin has.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    id: PluginId,
    kind: Kind,
    /// All if empty.
    namespaces: Vec<String>,
    /// Whether another may reconcile the same.
    shares: bool,
}

impl Claim {
    pub(crate) fn new(id: &PluginId, spec: &Spec, shares: bool) -> Self {
        let (kind, namespaces) = (spec.reconciles.kind.clone(), spec.reconciles.namespaces.clone());
        Self { id: id.clone(), kind, namespaces, shares }
    }

    fn meets(&self, other: &Self) -> bool {
        let everywhere = self.namespaces.is_empty() || other.namespaces.is_empty();
        self.kind == other.kind
            && (everywhere || self.namespaces.iter().any(|namespace| other.namespaces.contains(namespace)))
    }
}

/// By the plugins' names.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<String, Claim>);

impl Claims {
    /// Whose a name is.
    pub(crate) fn holder(&self, name: &str) -> Option<&PluginId> {
        self.0.get(name).map(|claim| &claim.id)
    }

    /// Each name and whose it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &PluginId)> {
        self.0.iter().map(|(name, claim)| (name, &claim.id))
    }

    /// Whether a plugin may have this; otherwise why not, by now.
    pub(crate) fn check(&self, name: &str, claim: &Claim) -> Result<(), Problem> {
        let taken = |reason, message| Problem { step: Step::Grant, reason, message, waits: true };
        if let Some(holder) = self.holder(name).filter(|holder| **holder != claim.id) {
            let message = format!(
                "a plugin named {name} is already loaded from {holder}; remove one, or give it another name"
            );
            return Err(taken("NameTaken", message));
        }
        // A Plugin of a namespace keeps nobody from what is the whole cluster's.
        let yields = |other: &Claim| claim.id.namespace().is_none() && other.id.namespace().is_some();
        let refuses = |other: &Claim| !claim.shares && !other.shares && !yields(other);
        match self.meeting(claim).find(|(_, other)| refuses(other)) {
            Some((other, held)) => {
                let message = format!(
                    "{} is reconciled by the plugin {other} of {}, in the same namespaces; remove one, or set spec.allowSharedKind of one of them if they are meant for each other",
                    claim.kind, held.id
                );
                Err(taken("KindTaken", message))
            }
            None => Ok(()),
        }
    }

    /// Others that reconcile some of the same, with their names.
    pub(crate) fn meeting(&self, claim: &Claim) -> impl Iterator<Item = (&String, &Claim)> {
        self.0.iter().filter(|(_, other)| other.id != claim.id && other.meets(claim))
    }

    /// From now on the plugin has this, and nothing that it had before.
    pub(crate) fn take(&mut self, name: &str, claim: Claim) {
        self.release(&claim.id);
        self.0.insert(name.to_owned(), claim);
    }

    /// It has nothing any more.
    pub(crate) fn release(&mut self, id: &PluginId) {
        self.0.retain(|_, claim| claim.id != *id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PluginId {
        PluginId::Resource { namespace: String::new(), name: name.to_owned() }
    }

    fn claim(of: &str, namespaces: &[&str], shares: bool) -> Claim {
        let namespaces = namespaces.iter().map(|namespace| (*namespace).to_owned()).collect();
        Claim { id: id(of), kind: "v1/ConfigMap".parse().unwrap(), namespaces, shares }
    }

    fn reason(claims: &Claims, name: &str, claim: &Claim) -> Option<&'static str> {
        claims.check(name, claim).err().map(|problem| problem.reason)
    }

    #[test]
    fn a_name_is_one_plugins_until_it_lets_go() {
        let mut claims = Claims::default();
        claims.take("p", claim("a", &["x"], false));
        assert_eq!(reason(&claims, "p", &claim("b", &["y"], true)), Some("NameTaken"));
        assert_eq!(reason(&claims, "p", &claim("a", &["y"], false)), None, "it is its own");
        claims.take("q", claim("a", &["x"], false));
        assert_eq!(reason(&claims, "p", &claim("b", &["y"], false)), None, "it has another name now");
        assert_eq!(claims.holder("q"), Some(&id("a")));
        claims.release(&id("a"));
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
            claims.take("p", claim("a", held, shares));
            assert_eq!(reason(&claims, "q", &claim("b", wants, too)), expected, "{held:?} {wants:?}");
        }
        // One of a namespace has no claim against the whole cluster's.
        let mut claims = Claims::default();
        let tenant = PluginId::Resource { namespace: "x".to_owned(), name: "t".to_owned() };
        claims.take("x.t", Claim { id: tenant.clone(), ..claim("t", &["x"], false) });
        assert_eq!(reason(&claims, "q", &claim("b", &[], false)), None);
        claims.take("q", claim("b", &[], false));
        let later = Claim { id: tenant, ..claim("t", &["x"], false) };
        assert_eq!(reason(&claims, "x.t", &later), Some("KindTaken"));
        let mut claims = Claims::default();
        let other = Claim { kind: "v1/Secret".parse().unwrap(), ..claim("a", &[], false) };
        claims.take("p", other);
        assert_eq!(reason(&claims, "q", &claim("b", &[], false)), None, "another kind");
    }
}
