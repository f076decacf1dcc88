//! The secrets of a server: the key of its certificate authority, the key that signs the tokens of
//! ServiceAccounts, and the administrator's token.
//!
//! With a data directory they are kept in its folder `access`, in files that only their owner may read, so
//! that kubeconfigs and tokens go on working when the server is started anew. None of it is ever logged.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use ring::rand::{SecureRandom, SystemRandom};

const FOLDER: &str = "access";

pub(super) struct Keys {
    pub(super) authority: KeyPair,
    /// The authority's certificate, as PEM.
    pub(super) authority_certificate: String,
    pub(super) service_accounts: KeyPair,
    pub(super) admin_token: String,
}

impl Keys {
    /// Reads what there is in a data directory and makes the rest; without a directory, makes all of it.
    pub(super) fn load(data_dir: Option<&Path>) -> Result<Self, String> {
        let folder = data_dir.map(|data_dir| data_dir.join(FOLDER));
        if let Some(folder) = &folder {
            make_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let keep = |name: &str, make: &dyn Fn() -> Result<String, String>| match &folder {
            Some(folder) => {
                let file = folder.join(name);
                keep(&file, make).map_err(|why| format!("{}: {why}", file.display()))
            }
            None => make(),
        };
        let key = |name: &str| {
            let pem = keep(name, &|| generate().map(|key| key.serialize_pem()))?;
            KeyPair::from_pem(&pem).map_err(|error| format!("{name} has no key: {error}"))
        };
        let authority = key("ca.key")?;
        let authority_certificate = keep("ca.crt", &|| super::tls::authority_certificate(&authority))?;
        let service_accounts = key("service-account.key")?;
        Ok(Self {
            authority_certificate,
            authority,
            service_accounts,
            admin_token: keep("admin.token", &token)?,
        })
    }
}

fn generate() -> Result<KeyPair, String> {
    KeyPair::generate().map_err(|error| error.to_string())
}

/// A token that nobody guesses: 256 random bits.
fn token() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system has no randomness to give".to_owned())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What a file has, which is made if it is not there.
fn keep(file: &Path, make: &dyn Fn() -> Result<String, String>) -> Result<String, String> {
    match fs::read_to_string(file) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    let text = make()?;
    write(file, &text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Writes a file that is there whole or not at all, and is nobody else's to read at any moment.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let draft = file.with_extension("new");
    // One that a server left that was ended in between.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut written = options.open(&draft)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&draft, file)
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_same_again_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::load(Some(folder.path())).unwrap();
        let second = Keys::load(Some(folder.path())).unwrap();
        assert_eq!(first.admin_token, second.admin_token);
        assert_eq!(first.authority_certificate, second.authority_certificate);
        assert_eq!(first.authority.serialize_pem(), second.authority.serialize_pem());
        assert_eq!(first.service_accounts.serialize_pem(), second.service_accounts.serialize_pem());
        #[cfg(unix)]
        for file in fs::read_dir(folder.path().join(FOLDER)).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        assert_ne!(Keys::load(None).unwrap().admin_token, first.admin_token);
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FOLDER).join("service-account.key");
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        fs::write(&file, "nonsense").unwrap();
        let error = Keys::load(Some(folder.path())).map(|_| ()).unwrap_err();
        assert!(error.contains("service-account.key"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "nonsense");
    }
}
