//! Which changes are requests: what [`Source::when`](crate::Source::when) takes.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// Which changes of a source's objects are requests; the host evaluates it.
///
/// ```
/// use wheelhouse_sdk::{Predicate, Source};
///
/// let scaled = Predicate::field_changed(".spec.replicas");
/// let worth_it = Predicate::generation_changed() | (Predicate::labels_changed() & !Predicate::deleted()) | scaled;
/// assert_eq!(
///     worth_it.to_string(),
///     "generation-changed || labels-changed && !deleted || field-changed(.spec.replicas)",
/// );
/// Source::of("apps/v1/Deployment").when(worth_it);
/// ```
///
/// A creation, a deletion, and the setting of a deletion timestamp count as a change of everything, so
/// `generation_changed()` misses none of them. Another UID under the same name is a deletion and a creation.
/// An object that comes into what the source selects is created for it, and one that leaves is deleted.
/// A [resync](crate::Spec::resync) is of everything, whatever the predicate.
///
/// The host refuses more than 64 conditions, 32 levels of negations and parentheses, or 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    text: String,
    joined_by: Joined,
}

/// How loosely the parts of a text hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Joined {
    Or,
    And,
    /// It is one.
    Not,
}

impl Predicate {
    fn condition(text: impl Into<String>) -> Self {
        Self { text: text.into(), joined_by: Joined::Not }
    }

    /// An expression as the contract has it, from a configuration, say; the host refuses one that it cannot
    /// read, and says where.
    pub fn expression(text: impl Into<String>) -> Self {
        Self { text: text.into(), joined_by: Joined::Or }
    }

    /// `metadata.generation` changed: of most kinds that is when the spec did, and not just the status, so
    /// that a plugin's own status writes are no requests. Kinds such as ConfigMap have no generation: say
    /// [`field_changed`](Self::field_changed) there.
    pub fn generation_changed() -> Self {
        Self::condition("generation-changed")
    }

    /// The labels changed.
    pub fn labels_changed() -> Self {
        Self::condition("labels-changed")
    }

    /// The annotations changed.
    pub fn annotations_changed() -> Self {
        Self::condition("annotations-changed")
    }

    /// Anything changed, which is every update.
    pub fn resource_version_changed() -> Self {
        Self::condition("resource-version-changed")
    }

    /// What is at this field path, or below it, changed: `.spec.replicas`, `.spec.containers[*].image`. The
    /// path counts as one of the [fields that are read](crate::Source::with_fields).
    pub fn field_changed(path: impl AsRef<str>) -> Self {
        Self::condition(format!("field-changed({})", path.as_ref()))
    }

    /// The object was not there before. One that was there when the plugin started counts.
    pub fn created() -> Self {
        Self::condition("created")
    }

    /// The object is gone, or its deletion timestamp is set now and was not before. One that is first seen
    /// with such a timestamp counts.
    pub fn deleted() -> Self {
        Self::condition("deleted")
    }

    /// This and the other one; also `&`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.joined(other, " && ", Joined::And)
    }

    /// This or the other one; also `|`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.joined(other, " || ", Joined::Or)
    }

    fn joined(self, other: Self, between: &str, joined_by: Joined) -> Self {
        let text = format!("{}{between}{}", self.within(joined_by), other.within(joined_by));
        Self { text, joined_by }
    }

    /// In parentheses if it would come apart.
    fn within(self, outside: Joined) -> String {
        if self.joined_by < outside { format!("({})", self.text) } else { self.text }
    }
}

/// The contrary; also `.not()`, with [`std::ops::Not`] in scope.
impl Not for Predicate {
    type Output = Self;

    fn not(self) -> Self {
        Self::condition(format!("!{}", self.within(Joined::Not)))
    }
}

impl BitAnd for Predicate {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOr for Predicate {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl fmt::Display for Predicate {
    /// As the contract has it (`wit/plugin.wit`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_combined_is_written_so_that_the_host_reads_the_same() {
        let (a, b, c) = (Predicate::created, Predicate::deleted, Predicate::labels_changed);
        for (predicate, text) in [
            (a() | b() | c(), "created || deleted || labels-changed"),
            (a() & b() & c(), "created && deleted && labels-changed"),
            ((a() | b()) & c(), "(created || deleted) && labels-changed"),
            (a() & (b() | c()), "created && (deleted || labels-changed)"),
            (a() | (b() & c()), "created || deleted && labels-changed"),
            (!(a() & b()), "!(created && deleted)"),
            (!!a(), "!!created"),
            (!a() & !(b() | !c()), "!created && !(deleted || !labels-changed)"),
            (Predicate::expression("created || deleted") & c(), "(created || deleted) && labels-changed"),
            (a().or(b()).and(c().not()), "(created || deleted) && !labels-changed"),
            (
                Predicate::generation_changed().or(Predicate::field_changed(".metadata.labels['a/b)']")),
                "generation-changed || field-changed(.metadata.labels['a/b)'])",
            ),
            (
                Predicate::annotations_changed() | Predicate::resource_version_changed(),
                "annotations-changed || resource-version-changed",
            ),
        ] {
            assert_eq!(predicate.to_string(), text);
            let read: wheelhouse_core::Predicate = text.parse().unwrap();
            assert_eq!(read.to_string(), text, "the host's own");
        }
    }
}
