//! The words of a rule: what stands in its lists, and how it is written.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};

use crate::Kind;

/// A word of a rule, or `"*"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrAny<T> {
    /// `"*"`.
    Any,
    /// The word.
    This(T),
}

/// The kinds that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindPattern {
    /// `"*"`.
    Any,
    /// `apps/v1/*`: the group and version.
    Of(String),
    /// One.
    This(Kind),
}

/// The text is no pattern of kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no kinds: write group/version/Kind (apps/v1/Deployment, v1/Pod), apps/v1/*, or \"*\"")]
pub struct BadKindPattern(String);

impl FromStr for KindPattern {
    type Err = BadKindPattern;

    fn from_str(text: &str) -> Result<Self, BadKindPattern> {
        let bad = || BadKindPattern(text.chars().take(100).collect());
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(version) = text.strip_suffix("/*") {
            // As good as that of a kind in it.
            let kind: Kind = format!("{version}/Kind").parse().map_err(|_| bad())?;
            return Ok(Self::Of(kind.api_version().to_owned()));
        }
        text.parse().map(Self::This).map_err(|_| bad())
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Of(version) => write!(f, "{version}/*"),
            Self::This(kind) => f.write_str(kind.as_str()),
        }
    }
}

/// A namespace or a name. Never empty: an empty one would stand for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub(crate) String);

/// The text is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: patterns are not understood, and only \"*\" stands for all where it may")]
pub struct BadWord(String);

impl FromStr for Word {
    type Err = BadWord;

    fn from_str(text: &str) -> Result<Self, BadWord> {
        let good = (1..=253).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"*/%?#\\\"".contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(BadWord(text.chars().take(100).collect())) }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A subresource's name; "" for the object itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource(pub(crate) String);

/// The text is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no subresource: write its name as in status or scale, \"\" for the object itself, or \"*\""
)]
pub struct BadSubresource(String);

impl FromStr for Subresource {
    type Err = BadSubresource;

    fn from_str(text: &str) -> Result<Self, BadSubresource> {
        let good = text.len() <= 63 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err(BadSubresource(text.chars().take(100).collect())) }
    }
}

impl fmt::Display for Subresource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: FromStr> FromStr for OrAny<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "*" { Ok(Self::Any) } else { text.parse().map(Self::This) }
    }
}

impl<T: fmt::Display> fmt::Display for OrAny<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::This(word) => word.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($([$($of:tt)*] $type:ty),*) => {$(
        impl<$($of)*> Serialize for $type where Self: fmt::Display {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "schemars")]
        impl<$($of)*> schemars::JsonSchema for $type where Self: fmt::Display {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Word".into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "maxLength": 253})
            }
        }

        impl<'de, $($of)*> Deserialize<'de> for $type where Self: FromStr<Err: fmt::Display> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
as_text!([] KindPattern, [] Word, [] Subresource, [T] OrAny<T>);

/// A text as a YAML scalar that is read as just that text: in quotes, unless it is plainly a word.
pub fn quoted(text: &str) -> String {
    const READ_OTHERWISE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b))
        && !READ_OTHERWISE.iter().any(|word| text.eq_ignore_ascii_case(word));
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
