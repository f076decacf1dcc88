//! What names a kind, and an object among those of its kind.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::printable::excerpt;

/// Group, version and kind, as one shared string: `apps/v1/Deployment`, `v1/Pod`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(Arc<str>);

/// The text does not name a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no kind: write group/version/Kind, such as apps/v1/Deployment, or v1/Pod for the core group"
)]
pub struct BadKind(pub String);

impl Kind {
    /// From its parts; the core group is "".
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        if group.is_empty() {
            Self(format!("{version}/{kind}").into())
        } else {
            Self(format!("{group}/{version}/{kind}").into())
        }
    }

    /// `apps`, or "" for the core group.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// `v1`.
    pub fn version(&self) -> &str {
        let api_version = self.api_version();
        api_version.split_once('/').map_or(api_version, |(_, version)| version)
    }

    /// `Deployment`.
    pub fn kind(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, kind)| kind)
    }

    /// `apps/v1`, as in an object's `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(api_version, _)| api_version)
    }

    /// The whole: `apps/v1/Deployment`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Kind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        // One more than a kind has tells that there are too many.
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let good = |(at, part): (usize, &&str)| {
            let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            // A group is a DNS name, the others are labels of one.
            let most = if parts.len() == 3 && at == 0 { 253 } else { 63 };
            part.len() <= most
                && end(part.as_bytes().first())
                && end(part.as_bytes().last())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        };
        if (2..=3).contains(&parts.len()) && parts.iter().enumerate().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(BadKind(excerpt(text)))
        }
    }
}

/// So that a map by kind is asked with the text that a guest gave.
impl std::borrow::Borrow<str> for Kind {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Namespace ("" for cluster-scoped objects) and name. Ordered as lists are.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// "" for cluster-scoped objects.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// Whether an object can be called so at all; the namespace of a cluster-scoped one is "".
    pub fn is_possible(&self) -> bool {
        (self.namespace.is_empty() || Self::is_namespace(&self.namespace)) && Self::is_name(&self.name)
    }

    /// Whether it can be a name, after `IsValidPathSegmentName` of
    /// `k8s.io/apimachinery/pkg/api/validation/path`, and stricter: no kind has names with anything but
    /// visible ASCII.
    pub fn is_name(text: &str) -> bool {
        !matches!(text, "" | "." | "..")
            && text.len() <= 253
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"/%?#\\".contains(&b))
    }

    /// Whether it can be a namespace.
    pub fn is_namespace(text: &str) -> bool {
        (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }

    /// From its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    /// `namespace/name`, or `name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_a_kind_is_short_and_so_is_what_is_said_of_another() {
        let group = "g".repeat(253);
        assert!(format!("{group}/v1/Kind").parse::<Kind>().is_ok());
        for text in [format!("v1/{}", "K".repeat(64)), format!("{group}g/v1/Kind"), "/".repeat(1 << 20)] {
            let error = text.parse::<Kind>().unwrap_err().to_string();
            assert!(error.len() < 300, "{error}");
        }
    }

    #[test]
    fn a_kind_has_its_parts() {
        let kind: Kind = "apps/v1/Deployment".parse().unwrap();
        assert_eq!(
            (kind.group(), kind.version(), kind.kind(), kind.api_version()),
            ("apps", "v1", "Deployment", "apps/v1")
        );
        let kind: Kind = "v1/Pod".parse().unwrap();
        assert_eq!((kind.group(), kind.version(), kind.kind(), kind.api_version()), ("", "v1", "Pod", "v1"));
        assert_eq!(Kind::new("", "v1", "Pod"), kind);
    }

    #[test]
    fn what_is_no_kind_is_refused() {
        for text in ["", "Pod", "/v1/Pod", "a/b/c/d", "v1/", "apps/v1/De ploy", "v1/../Pod"] {
            assert!(text.parse::<Kind>().is_err(), "{text}");
        }
    }
}
