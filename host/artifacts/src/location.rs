//! Where a component is: in a registry, or at a URL.

use std::fmt;
use std::str::FromStr;

use url::Url;
use wheelhouse_core::printable::excerpt;

use crate::reference::{Reference, is_loopback};

/// A URL longer than this is none.
const LONGEST: usize = 4096;

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a registry: `oci://registry/repository:tag`.
    Registry(Reference),
    /// At a URL: `https://…`.
    Web(WebAddress),
}

/// The URL of a component: `https://…`, or `http://…` of a loopback host.
///
/// It is shown without its query, which may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(Url);

/// A text is no location; it is shown without what may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no location of a component: {why}")]
pub struct LocationError {
    text: String,
    why: String,
}

pub(crate) fn wrong(text: &str, why: impl Into<String>) -> LocationError {
    LocationError { text: excerpt(&without_secrets(text)), why: why.into() }
}

/// Without user and password, query and fragment.
fn without_secrets(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at_checked(start).unwrap_or_default();
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}…@{host}{path}"),
        None => format!("{scheme}{rest}"),
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("oci") => text.parse().map(Self::Registry),
            Some("https" | "http") => text.parse().map(Self::Web),
            Some(_) => Err(wrong(text, "its scheme is neither `oci://` nor `https://`")),
            None => Err(wrong(text, "`oci://registry/repository:tag` or an `https://` URL is expected")),
        }
    }
}

impl Location {
    /// Whether it is on this machine, by its name alone.
    pub fn is_this_machine(&self) -> bool {
        match self {
            Self::Registry(reference) => reference.is_this_machine(),
            Self::Web(address) => address.0.host_str().is_some_and(is_loopback),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "oci://{reference}"),
            Self::Web(address) => address.fmt(f),
        }
    }
}

impl WebAddress {
    /// The last part of its path, as it is written there.
    pub fn name(&self) -> &str {
        self.0.path().rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for WebAddress {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.len() > LONGEST {
            return Err(wrong(text, format!("it has more than {LONGEST} bytes")));
        }
        // A parser of URLs would leave some of them out, and read on.
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(wrong(text, "it has spaces or control characters in it"));
        }
        let url: Url = text.parse().map_err(|error| wrong(text, format!("{error}")))?;
        let Some(host) = url.host_str() else { return Err(wrong(text, "it names no host")) };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => {
                return Err(wrong(
                    text,
                    "http is for this machine's own addresses alone: https:// is expected",
                ));
            }
            _ => return Err(wrong(text, "https:// is expected")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(text, "a user in a URL is not taken"));
        }
        if url.fragment().is_some() {
            return Err(wrong(text, "what stands after `#` is not for a server"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A URL as people may see it: without user and query, and of a length that can be read.
pub(crate) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // A URL that cannot have a user has none.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}{query}", wheelhouse_core::printable::printable(plain.as_str(), 300))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Location>().unwrap_err().to_string()
    }

    #[test]
    fn the_scheme_says_what_a_location_is() {
        let location: Location = "oci://ghcr.io/a/b:1".parse().unwrap();
        assert!(matches!(location, Location::Registry(_)));
        assert_eq!(location.to_string(), "oci://ghcr.io/a/b:1");
        for text in ["https://example.com/a.wasm", "http://127.0.0.1:8080/a.wasm", "http://[::1]/a.wasm"] {
            let location: Location = text.parse().unwrap();
            assert!(matches!(location, Location::Web(_)));
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_location_is_told_why() {
        for (text, why) in [
            ("", "oci://"),
            ("ghcr.io/a/b:1", "oci://"),
            ("./hello.wasm", "oci://"),
            ("file:///hello.wasm", "neither"),
            ("ftp://x/hello.wasm", "neither"),
            ("http://example.com/a.wasm", "http is for this machine"),
            ("http://localhost.example.com/a.wasm", "http is for this machine"),
            ("http://127.0.0.1.nip.io/a.wasm", "http is for this machine"),
            ("http://[::ffff:8.8.8.8]/a.wasm", "http is for this machine"),
            ("https://", "empty host"),
            ("https://me@example.com/a.wasm", "user"),
            ("https://example.com/a.wasm#b", "#"),
            ("https://example.com/a\n.wasm", "control characters"),
            ("https://example.com/a .wasm", "spaces"),
            ("https://exa mple.com/a.wasm", "spaces"),
            ("https://example.com:99999/a.wasm", "port"),
            ("oci://hello", "no registry"),
        ] {
            let error = error(text);
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
        assert!(error(&format!("https://example.com/{}", "a".repeat(1 << 20))).len() < 500);
    }

    #[test]
    fn a_secret_in_a_url_is_shown_nowhere() {
        for text in [
            "https://me:s3cret@example.com/a.wasm",
            "https://example.com:99999/a.wasm?token=s3cret",
            "https://example.com/a.wasm?token=x#s3cret",
            "gopher://me:s3cret@example.com",
        ] {
            assert!(!error(text).contains("s3cret"), "{}", error(text));
        }
        let location: Location = "https://example.com/a.wasm?X-Amz-Signature=s3cret".parse().unwrap();
        assert_eq!(location.to_string(), "https://example.com/a.wasm?…");
        assert!(!format!("{location:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn no_text_is_more_than_an_error(text in "(oci|https?)?(://)?\\PC*") {
            if let Ok(location) = text.parse::<Location>() {
                let _ = (location.to_string(), format!("{location:?}"));
            }
        }

        #[test]
        fn no_secret_comes_out_of_a_url_whatever_else_is_wrong_with_it(
            before in "[a-z:/@?#. ]{0,12}", after in "[a-z:/@?#. ]{0,12}",
        ) {
            let text = format!("{before}://me:s3cret@{after}");
            // What stands before the scheme is none, unless another scheme is there.
            prop_assume!(!before.contains(['/', '?', '#']));
            if let Err(error) = text.parse::<Location>() {
                prop_assert!(!error.to_string().contains("s3cret"), "{}", error);
            }
        }
    }
}
