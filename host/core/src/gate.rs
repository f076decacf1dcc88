//! The gate: deny by default, and the only maker of [`Permitted`].
//!
//! Every request that leaves a sandbox is handed to [`Gate::permit`]. What comes back owns the
//! request, so what is carried out is what was checked, and code that forgets the check does not
//! compile. What is permitted is what the plugin declares *and* its operator grants; a change of the
//! grant counts from the next request on.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

pub use crate::permission::{Access, Permission, Verb};

use crate::grant::{Allowed, Grant, Rule};
use crate::granted::Granted;
use crate::guarded::guarded;
use crate::owners_stay::OwnersStay;
use crate::printable::excerpt;
use crate::request::{Asks, Synced, Write};
use crate::{ApiError, Kind};

/// Why the gate says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The plugin did not say that it needs it.
    Undeclared,
    /// It did, and its operator does not grant it.
    Ungranted,
    /// Nobody may do that, or not in that way: what, and what to do instead.
    Refused(String),
}

/// The gate's no. It is the same whether there is such an object or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} may not {}", self.what())]
pub struct Denied {
    /// Who asked.
    pub plugin: String,
    /// The missing verb.
    pub verb: Verb,
    /// The kind.
    pub kind: Kind,
    /// "" for the object itself.
    pub subresource: String,
    /// "" for all namespaces, and for cluster-scoped objects.
    pub namespace: String,
    /// Why.
    pub reason: Reason,
}

impl Denied {
    pub(crate) fn refused(plugin: &str, write: &Write, what: String) -> Self {
        Self {
            plugin: plugin.to_owned(),
            verb: write.change.verb(),
            kind: write.kind.clone(),
            subresource: excerpt(&write.subresource),
            namespace: excerpt(&write.key.namespace),
            reason: Reason::Refused(what),
        }
    }

    fn what(&self) -> String {
        if let Reason::Refused(what) = &self.reason {
            return what.clone();
        }
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let place = if self.namespace.is_empty() {
            "in all namespaces".to_owned()
        } else {
            format!("in namespace {}", self.namespace)
        };
        let what = format!("{} {}{slash}{} {place}", self.verb, self.kind, self.subresource);
        if self.reason == Reason::Undeclared {
            return format!("{what}: the permission is not declared; add it to what describe() returns");
        }
        let rule = Rule::of(&self.permission()).map_or_else(String::new, |rule| {
            format!("; the operator can add this to the rules of its grant: {rule}")
        });
        let guard = if guarded(&self.kind, &self.subresource) { " (no wildcard grants it)" } else { "" };
        format!("{what}: the permission is declared, and not granted{guard}{rule}")
    }

    fn permission(&self) -> Permission {
        let namespaces = Some(&self.namespace).filter(|namespace| !namespace.is_empty());
        Permission {
            verbs: vec![self.verb],
            kind: self.kind.clone(),
            subresource: self.subresource.clone(),
            namespaces: namespaces.into_iter().cloned().collect(),
        }
    }
}

/// The gate of one revision of a plugin.
#[derive(Debug)]
pub struct Gate {
    plugin: Arc<str>,
    declared: Vec<Permission>,
    granted: Arc<Granted>,
    allowed: RwLock<Now>,
}

/// What is declared and granted, as of a version of the grant.
#[derive(Debug)]
struct Now {
    version: u64,
    allowed: Vec<Allowed>,
}

impl Now {
    fn of(declared: &[Permission], granted: &Granted) -> Self {
        // The version first: a grant that comes in between is looked at once more.
        let version = granted.version();
        Self { version, allowed: granted.grant().of_declared(declared) }
    }

    fn allows(&self, access: &Access<'_>) -> bool {
        self.allowed.iter().any(|allowed| allowed.allows(access))
    }
}

impl Gate {
    /// A gate that lets through what is declared and granted. The plugin's gates share what is granted.
    pub fn new(plugin: &str, declared: Vec<Permission>, granted: Arc<Granted>) -> Self {
        let allowed = RwLock::new(Now::of(&declared, &granted));
        Self { plugin: plugin.into(), declared, granted, allowed }
    }

    /// A gate that lets through just these, all of which are granted: for tests and measurements.
    pub fn granting(plugin: &str, permissions: Vec<Permission>) -> Self {
        let granted = Arc::new(Granted::new(Grant::of(&permissions)));
        Self::new(plugin, permissions, granted)
    }

    /// A gate that lets nothing through.
    pub fn closed(plugin: &str) -> Self {
        Self::new(plugin, Vec::new(), Arc::default())
    }

    /// The plugin whose gate it is.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// What its operator grants.
    pub fn granted(&self) -> &Arc<Granted> {
        &self.granted
    }

    fn look<T>(&self, look: impl FnOnce(&Now) -> T) -> T {
        let now = self.allowed.read().unwrap_or_else(PoisonError::into_inner);
        if now.version == self.granted.version() {
            return look(&now);
        }
        drop(now);
        let mut now = self.allowed.write().unwrap_or_else(PoisonError::into_inner);
        *now = Now::of(&self.declared, &self.granted);
        look(&now)
    }

    /// Judges a question about a kind that says nothing of its objects: it takes to list them in some
    /// namespace or other.
    ///
    /// # Errors
    /// If the plugin may in none.
    pub fn permit_synced(&self, request: Synced) -> Result<Permitted<Synced>, Denied> {
        let allows = |allowed: &Allowed| allowed.is_of_objects() && allowed.is_for(Verb::List, &request.kind);
        if self.look(|now| now.allowed.iter().any(allows)) {
            return Ok(Permitted { plugin: Arc::clone(&self.plugin), request, owners: None });
        }
        let access =
            Access { verb: Verb::List, kind: &request.kind, subresource: "", namespace: "", name: "" };
        let is_declared = |p: &Permission| {
            p.kind == request.kind && p.subresource.is_empty() && p.verbs.contains(&Verb::List)
        };
        Err(self.denied(access, self.declared.iter().any(is_declared)))
    }

    fn denied(&self, access: Access<'_>, declared: bool) -> Denied {
        let is_named = self.declared.iter().any(|permission| permission.kind == *access.kind);
        self.granted.note_denial(access.verb, access.kind, is_named);
        Denied {
            plugin: self.plugin.to_string(),
            verb: access.verb,
            kind: access.kind.clone(),
            subresource: excerpt(access.subresource),
            namespace: excerpt(access.namespace),
            reason: if declared { Reason::Ungranted } else { Reason::Undeclared },
        }
    }

    /// Judges a request.
    ///
    /// # Errors
    /// Which permission is missing, or what the request must not say.
    pub fn permit<R: Asks>(&self, request: R) -> Result<Permitted<R>, ApiError> {
        let access = request.access();
        if !self.look(|now| now.allows(&access)) {
            let declared = self.declared.iter().any(|permission| permission.allows(&access));
            return Err(self.denied(access, declared).into());
        }
        let allows = |access: &Access<'_>| self.look(|now| now.allows(access));
        match request.judge(&self.plugin, &allows, &self.granted) {
            Ok(owners) => Ok(Permitted { plugin: Arc::clone(&self.plugin), request, owners }),
            Err(error) => {
                if let ApiError::Denied(denied) = &error {
                    self.granted.note_denial(denied.verb, &denied.kind, true);
                }
                Err(error)
            }
        }
    }

    /// What of some permissions is not granted; each with the name of the one object that it is about, or "".
    pub fn lacks<'a>(
        &self,
        permissions: impl IntoIterator<Item = (&'a Permission, &'a str)>,
    ) -> Vec<Permission> {
        let grant = self.granted.grant();
        let lacks = permissions.into_iter().filter_map(|(permission, name)| grant.lacks(permission, name));
        let mut all: Vec<Permission> = Vec::new();
        for permission in lacks {
            if !all.contains(&permission) {
                all.push(permission);
            }
        }
        all
    }
}

/// A request that the gate let through. Only the gate makes one, and nobody can change it.
#[derive(Clone, Debug)]
pub struct Permitted<R> {
    plugin: Arc<str>,
    request: R,
    owners: Option<OwnersStay>,
}

impl<R> Permitted<R> {
    /// Who asked.
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }
}

impl Permitted<Write> {
    /// What is left to be judged, by whoever can look at the object.
    pub fn owners_stay(&self) -> Option<&OwnersStay> {
        self.owners.as_ref()
    }
}

impl<R> Deref for Permitted<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use crate::request::{Get, List};

    fn get(kind: &str, namespace: &str, subresource: &str) -> Get {
        Get {
            kind: kind.parse().unwrap(),
            key: Key::new(namespace, "x"),
            subresource: subresource.into(),
            consistency: Default::default(),
        }
    }

    fn gate(namespaces: &[&str]) -> Gate {
        let pods = Permission {
            verbs: vec![Verb::Get],
            kind: "v1/Pod".parse().unwrap(),
            subresource: String::new(),
            namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
        };
        Gate::granting("p", vec![pods])
    }

    #[test]
    fn hostile_a_denial_is_as_short_as_what_it_is_about() {
        let long = format!("{}\u{1b}[31m", "b".repeat(1 << 20));
        let denied = gate(&["a"]).permit(get("v1/Pod", &long, &long)).unwrap_err();
        let ApiError::Denied(Denied { namespace, subresource, .. }) = &denied else { panic!("{denied:?}") };
        assert!(namespace.len() <= 100 && subresource.len() <= 100);
        assert!(denied.to_string().len() < 500, "{denied}");
    }

    #[test]
    fn what_is_declared_is_let_through() {
        assert!(gate(&[]).permit(get("v1/Pod", "any", "")).is_ok());
        assert!(gate(&["a", "b"]).permit(get("v1/Pod", "b", "")).is_ok());
    }

    #[test]
    fn whatever_is_not_declared_is_denied() {
        assert!(Gate::closed("p").permit(get("v1/Pod", "a", "")).is_err());
        assert!(gate(&["a"]).permit(get("v1/Pod", "b", "")).is_err());
        assert!(gate(&[]).permit(get("v1/Secret", "a", "")).is_err());
        assert!(gate(&[]).permit(get("v1/Pod", "a", "log")).is_err());
        let all = List {
            kind: "v1/Pod".parse().unwrap(),
            namespace: String::new(),
            selector: Default::default(),
            field_selector: Default::default(),
            matches: vec![],
            limit: 1,
            bytes: 1,
            after: None,
            consistency: Default::default(),
        };
        assert!(gate(&["a"]).permit(all.clone()).is_err(), "a list of all namespaces takes all namespaces");
        assert!(gate(&[]).permit(all).is_err(), "list is not get");
    }

    #[test]
    fn a_denial_spells_out_the_missing_permission() {
        let denied = gate(&["a"]).permit(get("v1/Pod", "b", "status")).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "plugin p may not get v1/Pod/status in namespace b: the permission is not declared; \
             add it to what describe() returns"
        );
    }
}
