//! Who one is to a registry: Docker's configuration, and the same JSON in a pull secret.
//!
//! A registry's entry is found as kubelet finds it: by host, where `*` stands for a part of a name between dots,
//! and by the beginning of the repository's path; the closest one first, and every one is tried.
//! <https://kubernetes.io/docs/concepts/containers/images/#config-json>

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use wheelhouse_core::printable::excerpt;

use crate::credential_helper::{self, HelperError};
use crate::reference::{DOCKER_HUB, Reference, is_docker_hub};

/// With `=` at the end or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials that cannot be used. What is in them is not in the error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file is there, and cannot be read.
    #[error("{}: the credentials for registries cannot be read: {why}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// The system's word, or what is wrong in it.
        why: String,
    },
    /// No JSON, or JSON of another shape.
    #[error(
        "the credentials are not Docker's configuration: line {line}, column {column} is not as it is there"
    )]
    Json {
        /// From 1 on.
        line: usize,
        /// From 1 on.
        column: usize,
    },
    /// One registry's entry.
    #[error("the credentials for {registry:?} are not Docker's configuration: {why}")]
    Entry {
        /// The entry's name.
        registry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The program that Docker's configuration names.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

impl CredentialsError {
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Helper(HelperError::TimedOut { .. }))
    }
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Proof of who one is to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// For the registry, or for the server that gives its tokens.
    Password { user: String, password: Secret },
    /// With which that server gives tokens.
    Identity(Secret),
    /// Such a token itself.
    Token(Secret),
}

impl Credential {
    /// A header's value, of a password.
    pub(crate) fn basic(&self) -> Option<String> {
        let Self::Password { user, password } = self else { return None };
        Some(format!("Basic {}", BASE64.encode(format!("{user}:{}", password.reveal()))))
    }
}

/// Credentials for any number of registries, from any number of sources, which are asked in their order.
#[derive(Clone, Default)]
pub struct Credentials(Vec<Source>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().flat_map(|source| &source.entries);
        f.debug_list().entries(entries.map(|entry| &entry.pattern)).finish()
    }
}

#[derive(Clone, Default)]
struct Source {
    entries: Vec<Entry>,
    /// The helper of a registry.
    helpers: BTreeMap<String, String>,
    /// The helper of all others that have no entry.
    store: Option<String>,
}

#[derive(Clone)]
struct Entry {
    pattern: Pattern,
    credential: Credential,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Auth>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

impl Credentials {
    /// Nobody's.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of this user's Docker configuration: `config.json` in `$DOCKER_CONFIG`, or in `~/.docker`. Nobody's,
    /// if there is none.
    ///
    /// # Errors
    /// It is there, and cannot be read.
    pub fn of_this_user() -> Result<Self, CredentialsError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")));
        folder.map_or_else(|| Ok(Self::none()), |folder| Self::of_file(&folder.join("config.json")))
    }

    fn of_file(file: &Path) -> Result<Self, CredentialsError> {
        let wrong = |why: String| CredentialsError::File { file: file.to_path_buf(), why };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::none()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let source = Source::parse(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self(vec![source]))
    }

    /// Those of a text: a Secret's `.dockerconfigjson`, or the older `.dockercfg`. Programs that it names are not
    /// run: whoever wrote it is not this user.
    ///
    /// # Errors
    /// It is neither.
    pub fn of_text(text: &str) -> Result<Self, CredentialsError> {
        let source = Source::parse(text)?;
        Ok(Self(vec![Source { entries: source.entries, ..Source::default() }]))
    }

    /// These, and then others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// What there is for a repository, in the order in which it is tried.
    pub(crate) async fn of(&self, reference: &Reference) -> Result<Vec<Credential>, CredentialsError> {
        let mut found = Vec::new();
        for source in &self.0 {
            for credential in source.of(reference).await? {
                if !found.contains(&credential) {
                    found.push(credential);
                }
            }
        }
        Ok(found)
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, CredentialsError> {
        // serde's words have what is there in them, which may be a password.
        let json =
            |error: serde_json::Error| CredentialsError::Json { line: error.line(), column: error.column() };
        let object: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(text).map_err(json)?;
        let is_config = ["auths", "credHelpers", "credsStore"].iter().any(|key| object.contains_key(*key));
        let is_older = !object.is_empty() && object.keys().all(|key| key.contains(['.', ':', '/']));
        let config = if !is_config && is_older {
            Config {
                auths: Some(serde_json::from_str(text).map_err(json)?),
                cred_helpers: None,
                creds_store: None,
            }
        } else {
            serde_json::from_str::<Config>(text).map_err(json)?
        };
        let mut entries = Vec::new();
        for (registry, auth) in config.auths.unwrap_or_default() {
            let credential = auth
                .credential()
                .map_err(|why| CredentialsError::Entry { registry: excerpt(&registry), why })?;
            if let Some(credential) = credential {
                entries.push(Entry { pattern: Pattern::new(&registry), credential });
            }
        }
        entries.sort_by_cached_key(|entry| entry.pattern.order());
        let helpers = config.cred_helpers.unwrap_or_default();
        Ok(Self { entries, helpers, store: config.creds_store.filter(|store| !store.is_empty()) })
    }

    async fn of(&self, reference: &Reference) -> Result<Vec<Credential>, CredentialsError> {
        let helper =
            self.helpers.iter().find(|(registry, _)| Pattern::new(registry).host == reference.registry());
        if let Some((registry, helper)) = helper {
            return Ok(credential_helper::get(helper, registry).await?.into_iter().collect());
        }
        let entries = self.entries.iter().filter(|entry| entry.pattern.matches(reference));
        let found: Vec<_> = entries.map(|entry| entry.credential.clone()).collect();
        match &self.store {
            Some(store) if found.is_empty() => {
                // As Docker calls its hub when it logs in.
                let registry = match reference.registry() {
                    DOCKER_HUB => "https://index.docker.io/v1/",
                    registry => registry,
                };
                Ok(credential_helper::get(store, registry).await?.into_iter().collect())
            }
            _ => Ok(found),
        }
    }
}

impl Auth {
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credential::Identity(Secret::new(token))));
        }
        if let Some(token) = given(self.registrytoken) {
            return Ok(Some(Credential::Token(Secret::new(token))));
        }
        if let Some(auth) = given(self.auth) {
            let decoded = BASE64.decode(auth.trim()).map_err(|_| "its `auth` is not Base64")?;
            let text = String::from_utf8(decoded).map_err(|_| "its `auth` is not the Base64 of a text")?;
            let (user, password) =
                text.split_once(':').ok_or("its `auth` is not the Base64 of USER:PASSWORD")?;
            // Docker once wrote some.
            let password = Secret::new(password.trim_end_matches('\0'));
            return Ok(Some(Credential::Password { user: user.to_owned(), password }));
        }
        // Docker leaves an entry without anything where a helper has it.
        Ok(given(self.username).map(|user| Credential::Password {
            user,
            password: Secret::new(self.password.unwrap_or_default()),
        }))
    }
}

/// Whose an entry is: `registry.example.com:5000/path`, with `*` and `?` in the parts of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: String,
    /// Without a slash at its ends.
    path: String,
}

impl Pattern {
    fn new(name: &str) -> Self {
        let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let path = path.trim_matches('/');
        // The API's version, which Docker's own entries have.
        let version = ["v1", "v2"].into_iter().find_map(|version| path.strip_prefix(version));
        let path = version.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
        let host = host.to_ascii_lowercase();
        let host = if is_docker_hub(&host) { DOCKER_HUB.to_owned() } else { host };
        Self { host, path: path.trim_matches('/').to_owned() }
    }

    /// The closest first.
    fn order(&self) -> impl Ord + use<> {
        (
            std::cmp::Reverse(self.path.len()),
            self.host.contains(['*', '?']),
            self.host.clone(),
            self.path.clone(),
        )
    }

    fn matches(&self, reference: &Reference) -> bool {
        let (host, port) = with_port(&self.host);
        let (of_host, of_port) = with_port(reference.registry());
        let parts = |host: &str| host.split('.').count();
        let path = reference.repository().strip_prefix(&self.path);
        port == of_port
            && parts(host) == parts(of_host)
            && host
                .split('.')
                .zip(of_host.split('.'))
                .all(|(glob, part)| is_like(glob.as_bytes(), part.as_bytes()))
            && path.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }
}

fn with_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (host, None),
    }
}

/// Whether a text is as a glob of `*` and `?` says.
fn is_like(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', glob)), _) if is_like(glob, text) => true,
        (Some((b'*', _)), Some((_, text))) => is_like(glob, text),
        (Some((b'?', glob)), Some((_, text))) => is_like(glob, text),
        (Some((a, glob)), Some((b, text))) if a == b => is_like(glob, text),
        _ => false,
    }
}
