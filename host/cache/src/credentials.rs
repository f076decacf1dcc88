//! A cluster's configuration, with what it points to: whether it is another one, whether it is of any
//! use, and what may be said of it.
//!
//! Promises that no secret leaves: two configurations are compared by a hash under a key that nobody
//! has, and an error that quotes what it stumbled on is told without the quotation.

use std::error::Error;
use std::hash::{BuildHasher, Hash, Hasher};

use http::{HeaderValue, Uri};
use kube::Config;
use kube::client::AuthError;
use kube::config::{AuthInfo, InferConfigError, KubeconfigError};

use crate::rest::chain;

/// Why a configuration is not used. Its text has no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// There is none, or it cannot be read.
    #[error("the cluster's configuration cannot be loaded: {0}")]
    Load(String),
    /// It did not come.
    #[error("loading the cluster's configuration took longer than {0:?}")]
    TimedOut(std::time::Duration),
    /// No client can be made of it.
    #[error("the cluster's configuration cannot be used: {0}")]
    Unusable(String),
}

impl From<KubeconfigError> for ConnectError {
    fn from(error: KubeconfigError) -> Self {
        Self::Load(say(&error))
    }
}

impl From<InferConfigError> for ConnectError {
    fn from(error: InferConfigError) -> Self {
        Self::Load(say(&error))
    }
}

impl From<kube::Error> for ConnectError {
    fn from(error: kube::Error) -> Self {
        Self::Unusable(say(&error))
    }
}

/// An error with its causes, but without what it may quote: a line of a kubeconfig, the environment
/// and the output of a credential command, the password in a proxy's address.
pub(crate) fn say(error: &(dyn Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(link) = next {
        if let Some(instead) = unquoted(link) {
            return instead;
        }
        next = link.source();
    }
    chain(error)
}

fn unquoted(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(KubeconfigError::Parse(error)) = error.downcast_ref() {
        let line = error.location().map(|at| format!(", in line {}", at.line()));
        return Some(format!("the kubeconfig is not one{}", line.unwrap_or_default()));
    }
    match error.downcast_ref() {
        Some(AuthError::AuthExecRun { out, .. }) => {
            return Some(format!("the credential command failed: {}", out.status));
        }
        Some(AuthError::AuthExecParse(_)) => {
            return Some("the credential command's output is no ExecCredential".into());
        }
        _ => {}
    }
    match error.downcast_ref() {
        Some(kube::Error::ProxyProtocolUnsupported { proxy_url }) => {
            Some(format!("a proxy by {:?} is not supported", proxy_url.scheme_str().unwrap_or_default()))
        }
        Some(kube::Error::ProxyProtocolDisabled { proxy_url, .. }) => {
            Some(format!("a proxy by {:?} is not built in", proxy_url.scheme_str().unwrap_or_default()))
        }
        _ => None,
    }
}

/// An address without the user that it may name.
pub(crate) fn place(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default())
}

/// A hash of everything that decides how the cluster is reached and as whom, with the contents of the
/// files that are named. It reads them: call it where that may block.
pub(crate) fn fingerprint(key: &impl BuildHasher, config: &Config) -> u64 {
    let mut hash = key.build_hasher();
    config.cluster_url.to_string().hash(&mut hash);
    config.proxy_url.as_ref().map(Uri::to_string).hash(&mut hash);
    (&config.tls_server_name, config.accept_invalid_certs, config.disable_compression).hash(&mut hash);
    config.root_cert.hash(&mut hash);
    for (name, value) in &config.headers {
        (name.as_str(), value.as_bytes()).hash(&mut hash);
    }
    let auth = &config.auth_info;
    // As a kubeconfig has it, which is with its secrets. Its maps come in any order.
    let mut fields = serde_json::to_value(auth).unwrap_or_default();
    fields.sort_all_objects();
    fields.to_string().hash(&mut hash);
    let root = config.root_cert_file.as_deref();
    let named = [&auth.token_file, &auth.client_certificate, &auth.client_key];
    let named = named.into_iter().map(|name| name.as_deref().map(std::path::Path::new));
    for file in named.chain([root]) {
        file.map(|file| std::fs::read(file).ok()).hash(&mut hash);
    }
    hash.finish()
}

/// Whether a command is run for the credentials: then they can change though the configuration has
/// not.
pub(crate) fn by_command(auth: &AuthInfo) -> bool {
    auth.exec.is_some() || auth.auth_provider.is_some()
}

/// Refuses a token that cannot be put into a header, on which kube panics, or a token file without
/// one: somebody is writing it just now.
///
/// # Errors
/// That it is such.
pub(crate) fn check_token(auth: &AuthInfo) -> Result<(), ConnectError> {
    let bad = |what: String| Err(ConnectError::Unusable(what));
    // What kube prefers to a token.
    if auth.auth_provider.is_some() || (auth.username.is_some() && auth.password.is_some()) {
        return Ok(());
    }
    let sendable = |token: &str| HeaderValue::from_str(&format!("Bearer {token}")).is_ok();
    if auth.token.is_some() {
        let fields = serde_json::to_value(auth).unwrap_or_default();
        let token = fields.get("token").and_then(serde_json::Value::as_str).unwrap_or_default();
        if !sendable(token) {
            return bad("the token has characters that no token has".into());
        }
    } else if let Some(file) = &auth.token_file {
        match std::fs::read_to_string(file) {
            Err(error) => return bad(format!("the token file {file}: {error}")),
            Ok(token) if token.trim().is_empty() => return bad(format!("the token file {file} is empty")),
            Ok(token) if !sendable(&token) => {
                return bad(format!("the token file {file} has characters that no token has"));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn trap_13_what_is_said_of_a_configuration_has_no_secrets() {
        let error =
            kube::config::Kubeconfig::from_yaml("users:\n- name: a\n  user: [token: s3cret\n").unwrap_err();
        let said = ConnectError::from(error).to_string();
        assert!(said.contains("the kubeconfig is not one") && !said.contains("s3cret"), "{said}");
        let proxy = Box::new("ftp://me:s3cret@proxy".parse().unwrap());
        let said = ConnectError::from(kube::Error::ProxyProtocolUnsupported { proxy_url: proxy }).to_string();
        assert!(said.contains("ftp") && !said.contains("s3cret"), "{said}");
        assert_eq!(place(&"https://me:s3cret@api:6443/x".parse().unwrap()), "https://api:6443");
    }

    #[test]
    fn trap_13_equal_configurations_have_one_fingerprint_in_whatever_order_their_maps_come() {
        let key = RandomState::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..32 {
            let mut config = Config::new("https://api".parse().unwrap());
            let extra = ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), vec![name.to_owned()]));
            config.auth_info.impersonate_user_extra = Some(extra.into());
            seen.insert(fingerprint(&key, &config));
        }
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn trap_13_whatever_decides_the_connection_changes_the_fingerprint() {
        let key = RandomState::new();
        let file = std::env::temp_dir().join(format!("wheelhouse-{}", std::process::id()));
        let name = file.to_str().unwrap().to_owned();
        std::fs::write(&file, "one").unwrap();
        let all = || {
            let config = Config::new("https://api".parse().unwrap());
            let with = |change: &dyn Fn(&mut Config)| {
                let mut config = config.clone();
                change(&mut config);
                fingerprint(&key, &config)
            };
            vec![
                with(&|c| c.root_cert_file = Some(file.clone())),
                with(&|c| c.auth_info.token_file = Some(name.clone())),
                with(&|c| c.auth_info.client_certificate = Some(name.clone())),
                with(&|c| c.auth_info.client_key = Some(name.clone())),
                with(&|_| {}),
                with(&|c| c.cluster_url = "https://api:6443".parse().unwrap()),
                with(&|c| c.root_cert = Some(vec![vec![1]])),
                with(&|c| c.accept_invalid_certs = true),
                with(&|c| c.auth_info.token = Some(String::from("a").into())),
                with(&|c| c.auth_info.token = Some(String::from("b").into())),
                with(&|c| c.auth_info.client_key_data = Some(String::from("a").into())),
            ]
        };
        let before = all();
        std::fs::write(&file, "two").unwrap();
        let after = all();
        std::fs::remove_file(&file).unwrap();
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert_eq!(changed, 4, "those that point to the file, and no other");
        let distinct: std::collections::HashSet<u64> = before.iter().copied().collect();
        assert_eq!(distinct.len(), before.len());
    }

    #[test]
    fn trap_13_a_token_that_cannot_be_sent_is_refused_and_not_told() {
        let token = |token: &str| AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        assert_eq!(check_token(&token("good")), Ok(()));
        let said = check_token(&token("s3cret\n")).unwrap_err().to_string();
        assert!(!said.contains("s3cret"), "{said}");
        let nowhere = AuthInfo { token_file: Some("/nowhere/token".into()), ..AuthInfo::default() };
        assert!(check_token(&nowhere).is_err());
    }
}
