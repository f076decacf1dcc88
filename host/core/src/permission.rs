//! What may be done with which objects: the words of declarations, grants and requests.

use std::fmt;
use std::str::FromStr;

use crate::Kind;
use crate::spec::Source;

/// Kubernetes' verbs. Server-side apply is a `patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::List, Self::Watch, Self::Create, Self::Update, Self::Patch, Self::Delete];

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

/// The text is no verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no verb: write get, list, watch, create, update, patch, delete, or \"*\" for all of them")]
pub struct BadVerb(String);

impl FromStr for Verb {
    type Err = BadVerb;

    fn from_str(text: &str) -> Result<Self, BadVerb> {
        let found = Self::ALL.into_iter().find(|verb| verb.as_str() == text);
        found.ok_or_else(|| BadVerb(text.chars().take(100).collect()))
    }
}

/// Verbs on a kind's objects, or on a subresource of theirs, in some namespaces: what a plugin declares.
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

    pub(crate) fn allows(&self, access: &Access<'_>) -> bool {
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
    /// The one object that it is about; "" for several, and where the server makes the name.
    pub name: &'a str,
}
