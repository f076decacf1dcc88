//! Predicates: which changes of an object are worth a request, as an expression that the host evaluates.
//!
//! `generation-changed || (labels-changed && !deleted) || field-changed(.spec.replicas)`. The words are
//! controller-runtime's (`pkg/predicate`); the meaning is made safe where a controller would miss something:
//!
//! - A creation, a deletion, and the setting of a deletion timestamp make every `…-changed` true.
//! - Another UID under the same name is the deletion of one object and the creation of another, whatever else
//!   is equal: the expression is asked for both, and one yes is enough.
//! - An object that comes into what its source selects is created for it, and one that leaves is deleted:
//!   the caller hands over only what the source selects.
//!
//! What it does not know: why the change is told. A resync is of everything, so the caller does not ask.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{FieldPath, Value};

pub use parse::BadPredicate;

/// Bytes of an expression.
pub const PREDICATE_BYTES: usize = 4096;
/// How deep parentheses and `!` may nest.
pub const PREDICATE_DEPTH: usize = 32;
/// Conditions in an expression.
pub const PREDICATE_ATOMS: usize = 64;

/// Which changes count. The default, written "", is every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predicate(Option<Expression>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Atom(Atom),
    Not(Box<Expression>),
    /// At least two, as in the following one.
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Atom {
    /// `metadata.generation`: of most kinds, the spec changed and not just the status.
    GenerationChanged,
    LabelsChanged,
    AnnotationsChanged,
    /// Anything changed; for parity.
    ResourceVersionChanged,
    Created,
    Deleted,
    FieldChanged(FieldPath),
}

/// One object's change, as far as a predicate goes.
#[derive(Clone, Copy)]
struct Change<'a> {
    old: Option<Value<'a>>,
    new: Option<Value<'a>>,
    created: bool,
    deleted: bool,
}

impl Predicate {
    /// Whether every change counts.
    pub fn is_every_change(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this change counts: none is an object that was not there, or is no more.
    pub fn holds(&self, old: Option<Value<'_>>, new: Option<Value<'_>>) -> bool {
        let Some(expression) = &self.0 else { return true };
        match (old, new) {
            (Some(before), Some(after)) if uid(before) != uid(after) => {
                expression.holds(Change::of(old, None)) || expression.holds(Change::of(None, new))
            }
            _ => expression.holds(Change::of(old, new)),
        }
    }

    /// The field paths that it compares.
    pub fn paths(&self) -> Vec<&FieldPath> {
        let mut paths = Vec::new();
        if let Some(expression) = &self.0 {
            expression.add_paths(&mut paths);
        }
        paths
    }
}

fn uid(object: Value<'_>) -> Option<&str> {
    object.at(&["metadata", "uid"]).and_then(Value::as_str)
}

impl<'a> Change<'a> {
    fn of(old: Option<Value<'a>>, new: Option<Value<'a>>) -> Self {
        let dying = |object: Option<Value<'_>>| {
            let timestamp = object.and_then(|object| object.at(&["metadata", "deletionTimestamp"]));
            timestamp.is_some_and(|timestamp| !timestamp.is_null())
        };
        Self { old, new, created: old.is_none(), deleted: new.is_none() || (dying(new) && !dying(old)) }
    }

    fn differs_at(self, fields: &[&str]) -> bool {
        let at = |object: Option<Value<'a>>| object.and_then(|object| object.at(fields));
        at(self.old) != at(self.new)
    }
}

impl Expression {
    fn holds(&self, change: Change<'_>) -> bool {
        match self {
            Self::Atom(atom) => atom.holds(change),
            Self::Not(inner) => !inner.holds(change),
            Self::All(parts) => parts.iter().all(|part| part.holds(change)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(change)),
        }
    }

    fn add_paths<'a>(&'a self, paths: &mut Vec<&'a FieldPath>) {
        match self {
            Self::Atom(Atom::FieldChanged(path)) => paths.push(path),
            Self::Atom(_) => {}
            Self::Not(inner) => inner.add_paths(paths),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.add_paths(paths)),
        }
    }

    /// How tightly it binds: what is written inside of something tighter is in parentheses.
    fn tightness(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            Self::Not(_) | Self::Atom(_) => 2,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, outside: u8) -> fmt::Result {
        if self.tightness() < outside {
            f.write_str("(")?;
            self.write(f, 0)?;
            return f.write_str(")");
        }
        match self {
            Self::Atom(atom) => write!(f, "{atom}"),
            Self::Not(inner) => {
                f.write_str("!")?;
                inner.write(f, 2)
            }
            Self::All(parts) => Self::write_all(parts, f, " && ", 2),
            Self::Any(parts) => Self::write_all(parts, f, " || ", 1),
        }
    }

    fn write_all(parts: &[Self], f: &mut fmt::Formatter<'_>, between: &str, outside: u8) -> fmt::Result {
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                f.write_str(between)?;
            }
            part.write(f, outside)?;
        }
        Ok(())
    }
}

impl Atom {
    fn holds(&self, change: Change<'_>) -> bool {
        let turned = change.created || change.deleted;
        match self {
            Self::Created => change.created,
            Self::Deleted => change.deleted,
            Self::GenerationChanged => turned || change.differs_at(&["metadata", "generation"]),
            Self::LabelsChanged => turned || change.differs_at(&["metadata", "labels"]),
            Self::AnnotationsChanged => turned || change.differs_at(&["metadata", "annotations"]),
            Self::ResourceVersionChanged => turned || change.differs_at(&["metadata", "resourceVersion"]),
            Self::FieldChanged(path) => turned || path.differs(change.old, change.new),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GenerationChanged => f.write_str("generation-changed"),
            Self::LabelsChanged => f.write_str("labels-changed"),
            Self::AnnotationsChanged => f.write_str("annotations-changed"),
            Self::ResourceVersionChanged => f.write_str("resource-version-changed"),
            Self::Created => f.write_str("created"),
            Self::Deleted => f.write_str("deleted"),
            Self::FieldChanged(path) => write!(f, "field-changed({path})"),
        }
    }
}

impl fmt::Display for Predicate {
    /// As it can be read again; "" for every change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|expression| expression.write(f, 0))
    }
}
