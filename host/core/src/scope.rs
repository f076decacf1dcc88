//! What one watch brings of a kind: all of it, or a part.

use std::fmt;

use crate::{FieldSelector, LabelSelector, Object};

/// A namespace, or all, and selectors. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// "" for all, and for kinds that have none.
    pub namespace: String,
    /// Of the objects' labels.
    pub labels: LabelSelector,
    /// Of the objects' fields.
    pub fields: FieldSelector,
}

impl Scope {
    /// Everything in a namespace; "" for all.
    pub fn in_namespace(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..Self::default() }
    }

    /// Whether namespace alone decides what is in it: then what is not there does not exist.
    pub fn selects_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether objects of a namespace ("" for all) are in it, as far as the selectors let them.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace == namespace
    }

    /// Whether, as far as can be told without objects, all that is in the other is in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.has_namespace(&other.namespace)
            && self.labels.covers(&other.labels)
            && self.fields.covers(&other.fields)
    }

    /// Whether an object is in it.
    pub fn contains(&self, object: &Object) -> bool {
        self.has_namespace(object.namespace())
            && self.labels.matches(object.value())
            && self.fields.matches(object.value())
    }
}

impl fmt::Display for Scope {
    /// `everything`, or what narrows it: `namespace a; app=web; spec.nodeName=n1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace =
            if self.namespace.is_empty() { String::new() } else { format!("namespace {}", self.namespace) };
        let parts = [namespace, self.labels.to_string(), self.fields.to_string()];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespace: &str, labels: &str, fields: &str) -> Scope {
        Scope {
            namespace: namespace.into(),
            labels: labels.parse().unwrap(),
            fields: fields.parse().unwrap(),
        }
    }

    #[test]
    fn a_wider_scope_covers_a_narrower_one() {
        let all = Scope::default();
        assert!(all.covers(&scope("a", "x=y", "p=q")) && !scope("a", "", "").covers(&all));
        assert!(scope("a", "x=y", "").covers(&scope("a", "z,x=y", "p=q")));
        assert!(!scope("a", "", "").covers(&scope("b", "", "")));
        assert!(!scope("", "x=y", "").covers(&scope("a", "", "")));
        assert!(
            all.selects_all() && scope("a", "", "").selects_all() && !scope("a", "", "p=q").selects_all()
        );
    }
}
