//! SHA-256, as registries and the host write it: `sha256:` and 64 hexadecimal digits.
//!
//! A component's and a manifest's look alike and are never the same, so they are two types.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use wheelhouse_core::printable::excerpt;

/// What a [`ComponentDigest`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {}

/// What a [`ManifestDigest`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manifest {}

/// Any other blob of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Blob {}

/// Of a component's bytes: by it the host, its log and its grants name a component.
pub type ComponentDigest = Digest<Component>;

/// Of a manifest's bytes: `@sha256:…` in a reference means this one.
pub type ManifestDigest = Digest<Manifest>;

/// A SHA-256 and what it is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest<Of> {
    hash: [u8; 32],
    of: PhantomData<Of>,
}

/// A text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: `sha256:` and 64 hexadecimal digits in lower case are expected")]
pub struct BadDigest(String);

impl<Of> Digest<Of> {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Sha256::digest(bytes).into(), of: PhantomData }
    }
}

impl<Of> fmt::Display for Digest<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<Of> fmt::Debug for Digest<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<Of> FromStr for Digest<Of> {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(excerpt(text));
        let digits = text.strip_prefix("sha256:").ok_or_else(bad)?.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(bad());
        }
        let (pairs, _) = digits.as_chunks::<2>();
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).ok_or_else(bad)?;
        }
        Ok(Self { hash, of: PhantomData })
    }
}

fn digit(of: u8) -> Option<u8> {
    match of {
        b'0'..=b'9' => Some(of - b'0'),
        b'a'..=b'f' => Some(of - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_it_is_read() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(ComponentDigest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(ComponentDigest::of(b"")));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            "",
            "sha256:",
            digits,
            &format!("sha512:{digits}"),
            &format!("sha256:{}", digits.to_uppercase()),
            &format!("sha256:{digits}0"),
            &format!("sha256:{}", &digits[1..]),
            &format!("sha256:{}é", &digits[2..]),
            &format!("sha256: {}", &digits[1..]),
        ] {
            let error = text.parse::<ManifestDigest>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits") && error.len() < 300, "{error}");
        }
    }
}
