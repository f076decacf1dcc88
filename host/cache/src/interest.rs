//! What somebody wants of a kind.

use wheelhouse_core::{Fields, Kind, Scope};

/// A kind, which of its objects, and which fields of them. From a kind alone: everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    kind: Kind,
    scope: Scope,
    fields: Fields,
}

impl From<&Kind> for Interest {
    fn from(kind: &Kind) -> Self {
        Self { kind: kind.clone(), scope: Scope::default(), fields: Fields::all() }
    }
}

impl Interest {
    /// Only objects in this scope; they may come with others, if somebody else wants those.
    #[must_use]
    pub fn scoped(self, scope: Scope) -> Self {
        // Should the server not know the fields that it selects by, they are looked at here.
        let looked_at = Fields::of(scope.fields.requirements().iter().map(|requirement| &requirement.path));
        Self { fields: self.fields.union(&looked_at), scope, ..self }
    }

    /// Only these fields, and never another one.
    #[must_use]
    pub fn reading(self, fields: Fields) -> Self {
        let scope = self.scope.clone();
        Self { fields, ..self }.scoped(scope)
    }

    /// The kind.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Which objects.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Which fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}
