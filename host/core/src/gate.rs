//! The gate: deny by default, and the only maker of [`Permitted`].
//!
//! Every request that leaves a sandbox is handed to [`Gate::permit`]. What comes back owns the
//! request, so what is carried out is what was checked, and code that forgets the check does not
//! compile.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::Kind;
use crate::request::Asks;
use crate::spec::Source;

/// Kubernetes' verbs. Server-side apply is a `patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One object.
    Get,
    /// Many.
    List,
    /// Their changes.
    Watch,
    /// A new one.
    Create,
    /// The whole of one.
    Update,
    /// Parts of one.
    Patch,
    /// No more of one.
    Delete,
}

impl Verb {
    /// As RBAC spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Verbs on a kind's objects, or on a subresource of theirs, in some namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Any of them.
    pub verbs: Vec<Verb>,
    /// Of this kind.
    pub kind: Kind,
    /// "" for the objects themselves.
    pub subresource: String,
    /// All, and cluster-scoped objects, if empty.
    pub namespaces: Vec<String>,
}

impl Permission {
    /// What a source implies: to read what is watched.
    pub fn of_source(source: &Source) -> Self {
        Self {
            verbs: vec![Verb::Get, Verb::List, Verb::Watch],
            kind: source.kind.clone(),
            subresource: String::new(),
            namespaces: source.namespaces.clone(),
        }
    }

    fn allows(&self, access: &Access<'_>) -> bool {
        self.kind == *access.kind
            && self.subresource == access.subresource
            && self.verbs.contains(&access.verb)
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|n| n == access.namespace))
    }
}

impl fmt::Display for Permission {
    /// `get,list v1/Pod in all namespaces`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verbs: Vec<&str> = self.verbs.iter().map(|v| v.as_str()).collect();
        write!(f, "{} {}", verbs.join(","), self.kind)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if self.namespaces.is_empty() {
            f.write_str(" in all namespaces")
        } else {
            write!(f, " in {}", self.namespaces.join(","))
        }
    }
}

/// What a request takes.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The verb.
    pub verb: Verb,
    /// The kind.
    pub kind: &'a Kind,
    /// "" for the object itself.
    pub subresource: &'a str,
    /// "" for all namespaces, and for cluster-scoped objects.
    pub namespace: &'a str,
}

/// The gate's no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} may not {}: the permission is not declared; add it to what describe() returns", self.what())]
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
}

impl Denied {
    fn what(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let place = if self.namespace.is_empty() {
            "in all namespaces".to_owned()
        } else {
            format!("in namespace {}", self.namespace)
        };
        format!("{} {}{slash}{} {place}", self.verb, self.kind, self.subresource)
    }
}

/// One plugin's gate.
#[derive(Debug)]
pub struct Gate {
    plugin: Arc<str>,
    permissions: Vec<Permission>,
}

impl Gate {
    /// A gate that lets through just these.
    pub fn new(plugin: &str, permissions: Vec<Permission>) -> Self {
        Self { plugin: plugin.into(), permissions }
    }

    /// A gate that lets nothing through.
    pub fn closed(plugin: &str) -> Self {
        Self::new(plugin, Vec::new())
    }

    /// The plugin whose gate it is.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Whether a verb on a kind's objects is let through for some namespace or other: enough to
    /// be told of the kind what says nothing about its objects.
    ///
    /// # Errors
    /// If it is for none.
    pub fn permit_anywhere(&self, verb: Verb, kind: &Kind) -> Result<(), Denied> {
        let allows = |p: &Permission| p.kind == *kind && p.subresource.is_empty() && p.verbs.contains(&verb);
        if self.permissions.iter().any(allows) {
            return Ok(());
        }
        Err(self.denied(Access { verb, kind, subresource: "", namespace: "" }))
    }

    fn denied(&self, access: Access<'_>) -> Denied {
        Denied {
            plugin: self.plugin.to_string(),
            verb: access.verb,
            kind: access.kind.clone(),
            subresource: access.subresource.to_owned(),
            namespace: access.namespace.to_owned(),
        }
    }

    /// Judges a request.
    ///
    /// # Errors
    /// Which permission is missing.
    pub fn permit<R: Asks>(&self, request: R) -> Result<Permitted<R>, Denied> {
        let access = request.access();
        if self.permissions.iter().any(|permission| permission.allows(&access)) {
            return Ok(Permitted { plugin: Arc::clone(&self.plugin), request });
        }
        Err(self.denied(access))
    }
}

/// A request that the gate let through. Only the gate makes one, and nobody can change it.
#[derive(Clone, Debug)]
pub struct Permitted<R> {
    plugin: Arc<str>,
    request: R,
}

impl<R> Permitted<R> {
    /// Who asked.
    pub fn plugin(&self) -> &Arc<str> {
        &self.plugin
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
        Gate::new("p", vec![pods])
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
