//! The types that expressions of rules have.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// How large a type may be, in names. No schema and no sensible rule comes near it.
const LARGEST: usize = 200;

#[derive(Debug, Clone, Default)]
pub(super) enum Type<'a> {
    /// Any type: what that is shows when the rule runs.
    Dyn,
    /// A type that cannot be told here. Nothing is refused for it.
    #[default]
    Unsure,
    /// The type of what is wrong and has been reported.
    Wrong,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// One of Kubernetes' types that only their own functions look into, such as a quantity.
    Opaque(&'a str),
    /// An object of a schema.
    Object(Object<'a>),
    /// A type that is made of others.
    Made(Kind, Arc<Made<'a>>),
    /// A type that is still to be found.
    Var(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Map,
    Optional,
    /// A type as a value.
    Type,
}

#[derive(Debug)]
pub(super) struct Made<'a> {
    parts: Vec<Type<'a>>,
    size: usize,
}

/// An object, as the rules see it.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    pub(super) schema: &'a Value,
    /// A whole object with a kind, a version and metadata.
    pub(super) is_whole: bool,
    /// Where it is in the value that the rule is of.
    pub(super) path: Arc<str>,
}

impl Object<'_> {
    fn is_same(&self, other: &Object<'_>) -> bool {
        std::ptr::eq(self.schema, other.schema) && self.is_whole == other.is_whole
    }
}

impl<'a> Type<'a> {
    pub(super) fn list(item: Self) -> Self {
        Self::made(Kind::List, vec![item])
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::made(Kind::Map, vec![key, value])
    }

    pub(super) fn optional(value: Self) -> Self {
        Self::made(Kind::Optional, vec![value])
    }

    pub(super) fn of_type(named: Self) -> Self {
        Self::made(Kind::Type, vec![named])
    }

    pub(super) fn made(kind: Kind, parts: Vec<Self>) -> Self {
        let size = parts.iter().map(Self::size).fold(1, usize::saturating_add);
        if size > LARGEST { Self::Unsure } else { Self::Made(kind, Arc::new(Made { parts, size })) }
    }

    fn size(&self) -> usize {
        match self {
            Self::Made(_, made) => made.size,
            _ => 1,
        }
    }

    /// What it is made of.
    pub(super) fn parts(&self) -> &[Self] {
        match self {
            Self::Made(_, made) => &made.parts,
            _ => &[],
        }
    }

    /// The parts of a type of this kind.
    pub(super) fn parts_of(&self, wanted: Kind) -> Option<&[Self]> {
        match self {
            Self::Made(kind, made) if *kind == wanted => Some(&made.parts),
            _ => None,
        }
    }

    /// The type of the value that is there or not, or the type itself.
    pub(super) fn unwrapped(&self) -> (&Self, bool) {
        match self.parts_of(Kind::Optional) {
            Some([value]) => (value, true),
            _ => (self, false),
        }
    }

    /// Takes anything, and is taken for anything.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Dyn | Self::Unsure | Self::Wrong)
    }

    /// Takes null.
    pub(super) fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Opaque(_)
                | Self::Object(_)
                | Self::Made(Kind::Optional, _)
                | Self::Timestamp
                | Self::Duration
                | Self::Null
        )
    }

    /// The very same type.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Opaque(one), Self::Opaque(other)) => one == other,
            (Self::Object(one), Self::Object(other)) => one.is_same(other),
            (Self::Var(one), Self::Var(other)) => one == other,
            (Self::Made(one_kind, one), Self::Made(other_kind, other)) => {
                one_kind == other_kind
                    && one.parts.len() == other.parts.len()
                    && one.parts.iter().zip(&other.parts).all(|(one, other)| one.is_same(other))
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Dyn | Self::Unsure | Self::Var(_) => "dyn",
            Self::Wrong => "!error!",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Opaque(name) => name,
            Self::Object(object) => return write!(f, "selfType{}", object.path),
            Self::Made(kind, made) => {
                f.write_str(match kind {
                    Kind::List => "list",
                    Kind::Map => "map",
                    Kind::Optional => "optional_type",
                    Kind::Type => "type",
                })?;
                for (index, part) in made.parts.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "(" } else { ", " })?;
                }
                return f.write_str(if made.parts.is_empty() { "" } else { ")" });
            }
        };
        f.write_str(name)
    }
}
