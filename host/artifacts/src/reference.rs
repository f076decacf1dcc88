//! References to artifacts in OCI registries, by the grammar that Docker's have.
//!
//! The registry is always named: that a name without one is Docker Hub's is Docker's own rule.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::digest::ManifestDigest;
use crate::location::{LocationError, wrong};

/// What is taken for no reference without a closer look.
const LONGEST: usize = 1024;
/// Of registry and repository together, as registries have it.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Where Docker Hub's references point, and which server answers for it.
pub(crate) const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SERVER: &str = "registry-1.docker.io";

/// `registry/repository:tag@sha256:…`. It has a tag or a digest; of both, the digest counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<ManifestDigest>,
}

impl Reference {
    /// The registry's host, with its port if it has one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The last part of the repository's path.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// `latest`, if the reference names neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Of the manifest that is meant, whatever the tag says.
    pub fn digest(&self) -> Option<&ManifestDigest> {
        self.digest.as_ref()
    }

    /// The same, of this manifest and no other.
    #[must_use]
    pub fn pinned(&self, manifest: ManifestDigest) -> Self {
        Self { digest: Some(manifest), ..self.clone() }
    }

    pub(crate) fn is_this_machine(&self) -> bool {
        is_loopback(host_of(&self.registry))
    }

    /// The URL of the registry's API. A registry on this machine is spoken to by HTTP, any other by HTTPS.
    pub(crate) fn server(&self) -> String {
        let host = if self.registry == DOCKER_HUB { DOCKER_HUB_SERVER } else { &self.registry };
        let scheme = if is_loopback(host_of(host)) { "http" } else { "https" };
        format!("{scheme}://{host}/v2/")
    }

    /// What the registry's API calls the manifest.
    pub(crate) fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// With or without `oci://`.
impl FromStr for Reference {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        parse(text.strip_prefix("oci://").unwrap_or(text)).map_err(|why| wrong(text, why))
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    if text.contains("://") {
        return Err("`oci://` is the only scheme of a reference".to_owned());
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, _)) if !name.contains('/') => {
            return Err(format!("`@` stands where the registry ends, and no user is taken there{HOW}"));
        }
        Some((name, digest)) => (name, Some(digest.parse().map_err(|error| format!("{error}"))?)),
        None => (text, None),
    };
    let Some((registry, path)) = name.split_once('/') else {
        return Err(format!("it names no registry{HOW}"));
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    check_registry(registry)?;
    check_path(path)?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let (registry, path) = match registry.to_ascii_lowercase() {
        host if is_docker_hub(&host) => {
            let official = !path.contains('/');
            (DOCKER_HUB.to_owned(), if official { format!("library/{path}") } else { path.to_owned() })
        }
        host => (host, path.to_owned()),
    };
    if registry.len() + 1 + path.len() > LONGEST_NAME {
        return Err(format!("registry and repository have more than {LONGEST_NAME} bytes"));
    }
    let tag = tag.or_else(|| digest.is_none().then_some("latest")).map(str::to_owned);
    Ok(Reference { registry, repository: path, tag, digest })
}

/// By any of the names that it has had.
pub(crate) fn is_docker_hub(host: &str) -> bool {
    [DOCKER_HUB, "index.docker.io", DOCKER_HUB_SERVER].contains(&host)
}

const HOW: &str = ": `registry/repository:tag` is expected, such as ghcr.io/example/hello:1.0";

fn check_registry(registry: &str) -> Result<(), String> {
    let host = host_of(registry);
    let port = registry.strip_prefix(host).unwrap_or_default();
    let port_is_one = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
    if !port_is_one {
        return Err("its registry has a port that is no number from 1 to 65535".to_owned());
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Result<Ipv6Addr, _> = address.parse();
        return address.map(drop).map_err(|_| "its registry is no IPv6 address".to_owned());
    }
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if !host.split('.').all(is_label) {
        return Err(format!("its registry is no name of a host{HOW}"));
    }
    // A host is told from a part of a path as Docker does it.
    if !(registry.contains(['.', ':']) || host == "localhost") {
        return Err(format!(
            "{host:?} is no registry: a registry has a dot or a port in its name; Docker Hub's is docker.io"
        ));
    }
    Ok(())
}

/// Lower case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn check_path(path: &str) -> Result<(), String> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("its repository has upper case letters, which none may have".to_owned());
    }
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        let separators = part.split(is_alphanumeric).filter(|separator| !separator.is_empty());
        part.starts_with(is_alphanumeric)
            && part.ends_with(is_alphanumeric)
            && separators.into_iter().all(|separator| {
                matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
    };
    if !path.split('/').all(is_part) {
        return Err("its repository is not made of lower case letters and digits, with `.`, `_`, `__` or `-` between them and `/` between parts".to_owned());
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&c);
    if tag.is_empty() || tag.len() > LONGEST_TAG || tag.starts_with(['.', '-']) || !tag.chars().all(inner) {
        return Err(format!(
            "its tag is not made of at most {LONGEST_TAG} letters, digits, `_`, `.` and `-`, beginning with none of the last two"
        ));
    }
    Ok(())
}

/// Without the port.
fn host_of(registry: &str) -> &str {
    match registry.rsplit_once(':') {
        Some((host, _)) if !registry.ends_with(']') => host,
        _ => registry,
    }
}

/// Whether a host is this machine by its name alone, which nobody else can answer for.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn of(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        text.parse::<Reference>().unwrap_err().to_string()
    }

    #[test]
    fn a_reference_is_taken_apart_and_put_together() {
        for (text, registry, repository, tag, digest) in [
            ("ghcr.io/a/b:1.0", "ghcr.io", "a/b", Some("1.0"), false),
            ("localhost:5000/hello", "localhost:5000", "hello", Some("latest"), false),
            ("localhost/hello:V_1-x.y", "localhost", "hello", Some("V_1-x.y"), false),
            ("[::1]:5000/a:1", "[::1]:5000", "a", Some("1"), false),
            ("r:1/a--b__c.d_e/f:x@", "r:1", "a--b__c.d_e/f", Some("x"), true),
            ("r.io/a@", "r.io", "a", None, true),
        ] {
            let text = if digest { format!("{text}{DIGEST}") } else { text.to_owned() };
            let reference = of(&text);
            assert_eq!(
                (reference.registry(), reference.repository(), reference.tag(), reference.digest().is_some()),
                (registry, repository, tag, digest),
                "{text}"
            );
            assert_eq!(of(&reference.to_string()), reference);
            assert_eq!(of(&format!("oci://{text}")), reference);
        }
    }

    #[test]
    fn docker_hub_has_one_name_and_another_server() {
        for text in ["docker.io/hello:1", "index.docker.io/library/hello:1", "Docker.io/hello:1"] {
            assert_eq!(of(text).to_string(), "docker.io/library/hello:1");
        }
        assert_eq!(of("docker.io/me/hello").server(), "https://registry-1.docker.io/v2/");
    }

    #[test]
    fn http_is_for_registries_on_this_machine_alone() {
        for (host, scheme) in [
            ("localhost:5000", "http"),
            ("127.0.0.1:5000", "http"),
            ("127.9.9.9", "http"),
            ("[::1]:5000", "http"),
            ("localhost.example.com", "https"),
            ("127.0.0.1.example.com", "https"),
            ("10.0.0.1:5000", "https"),
            ("[::2]:5000", "https"),
        ] {
            assert_eq!(of(&format!("{host}/a")).server(), format!("{scheme}://{host}/v2/"));
        }
    }

    #[test]
    fn what_is_no_reference_is_told_why() {
        for (text, why) in [
            ("", "no registry"),
            ("hello", "no registry"),
            ("hello:1.0", "no registry"),
            ("me/hello:1.0", "docker.io"),
            ("oci://", "no registry"),
            ("https://ghcr.io/a", "only scheme"),
            ("ghcr.io/A:1", "upper case"),
            ("ghcr.io/:1", "lower case"),
            ("ghcr.io/a//b", "lower case"),
            ("ghcr.io/a/../b", "lower case"),
            ("ghcr.io/a___b", "lower case"),
            ("ghcr.io/a?b=c", "lower case"),
            ("ghcr.io/a%2fb", "lower case"),
            ("ghcr.io/a:", "tag"),
            ("ghcr.io/a:-x", "tag"),
            ("ghcr.io/a:b c", "tag"),
            ("ghcr.io/a:x\ny", "tag"),
            ("ghcr.io/a@sha256:12", "64 hexadecimal digits"),
            ("ghcr.io/a@sha512:12", "64 hexadecimal digits"),
            ("ghcr.io:0/a", "port"),
            ("ghcr.io:65536/a", "port"),
            ("ghcr.io:+5/a", "port"),
            ("ghcr.io:/a", "port"),
            ("-x.io/a", "host"),
            ("x..io/a", "host"),
            ("[::x]:5/a", "IPv6"),
            ("[1.2.3.4]/a", "IPv6"),
            ("\u{7}x.io/a", "host"),
        ] {
            let error = error(text);
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn a_huge_reference_has_a_short_error() {
        for text in [
            "a".repeat(1 << 20),
            format!("ghcr.io/{}", "a".repeat(300)),
            format!("ghcr.io/a:{}", "a".repeat(129)),
            format!("ghcr.io/a@{}", "a".repeat(500)),
        ] {
            assert!(error(&text).len() < 500);
        }
    }

    #[test]
    fn a_password_in_a_reference_is_in_no_error() {
        for text in ["oci://me:s3cret@ghcr.io/a:1", "me:s3cret@ghcr.io/a:1", "https://me:s3cret@ghcr.io/a"] {
            assert!(!error(text).contains("s3cret"), "{}", error(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_more_than_an_error(text in any::<String>()) {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn what_is_nearly_a_reference_is_read_as_it_is_written(
            text in "(oci://)?[a-c.]{1,4}(:[0-9]{0,5})?/[a-c._/-]{0,6}(:[A-C_.-]{0,3})?(@sha256:[0-9a-f]{63,64})?",
        ) {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().unwrap();
                prop_assert_eq!(&again, &reference);
                prop_assert!(url::Url::parse(&reference.server()).is_ok());
            }
        }
    }
}
