//! What a plugin needs to be allowed.

pub use crate::bindings::exports::wheelhouse::controller::reconciler::Verb;

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;

/// Something that a plugin needs to be allowed.
#[derive(Clone, Debug)]
pub struct Permission(pub(crate) wit::Permission);

impl Permission {
    /// These verbs on a kind's objects. A server-side apply is a `Patch`.
    pub fn to(verbs: impl IntoIterator<Item = Verb>, kind: impl Into<String>) -> Self {
        Self(wit::Permission {
            verbs: verbs.into_iter().collect(),
            kind: kind.into(),
            subresource: String::new(),
            namespaces: Vec::new(),
        })
    }

    /// To record [Events](crate::events), and to count up those that are there. The objects that they are
    /// on must be allowed to be got, besides.
    pub fn events() -> Self {
        Self::to([Verb::Create, Verb::Patch], "events.k8s.io/v1/Event")
    }

    /// On this subresource, and not on the objects themselves.
    pub fn subresource(mut self, name: impl Into<String>) -> Self {
        self.0.subresource = name.into();
        self
    }

    /// In these namespaces only.
    pub fn in_namespaces<S: Into<String>>(mut self, namespaces: impl IntoIterator<Item = S>) -> Self {
        self.0.namespaces = namespaces.into_iter().map(Into::into).collect();
        self
    }
}
