//! Debian's `docker-registry` on a port of its own, as long as a test needs it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user that a registry with users has, and a line for it as `htpasswd -B` makes them.
pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "correct horse";
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
const USERS: &str = "auth: {htpasswd: {realm: test, path: FOLDER/htpasswd}}\n";

pub(crate) struct Registry {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// By its variable, where `cargo xtask setup` puts it, or on the PATH.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("WHEELHOUSE_DOCKER_REGISTRY") {
        return named.into();
    }
    let installed = "target/tools/docker-registry/usr/bin/docker-registry";
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join(installed));
    folders.find(|program| program.exists()).unwrap_or_else(|| "docker-registry".into())
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::with("", None)
    }

    pub(crate) fn start_with_users() -> Self {
        Self::with(USERS, None)
    }

    /// Likewise, by TLS, with this certificate and its key, as PEM.
    pub(crate) fn start_with_users_and_tls(certificate: &str, key: &str) -> Self {
        Self::with(USERS, Some([certificate, key]))
    }

    fn with(more: &str, tls: Option<[&str; 2]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let by_tls =
            if tls.is_some() { ", tls: {certificate: FOLDER/tls.crt, key: FOLDER/tls.key}" } else { "" };
        for (name, pem) in ["tls.crt", "tls.key"].iter().zip(tls.into_iter().flatten()) {
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:0', secret: x{by_tls}}}\n\
             storage: {{filesystem: {{rootdirectory: FOLDER}}}}\n{more}"
        );
        let path = folder.path().join("config.yml");
        std::fs::write(&path, config.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
        std::fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let program = program();
        let child = Command::new(&program)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!(
                "{}: {error}: this test needs Debian's docker-registry: run `cargo xtask setup`, or \
                 `apt-get install docker-registry`",
                program.display()
            )
        });
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let host = loop {
            let begun = said.len();
            assert!(log.read_line(&mut said).unwrap() > 0, "the registry has ended:\n{said}");
            if let Some((_, rest)) = said[begun..].split_once("listening on ") {
                break rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            }
        };
        // A log that nobody reads would stop it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, host, _folder: folder }
    }

    /// A reference in this registry.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }

    /// Puts a manifest there by HTTP as it is, and gives back the status.
    pub(crate) fn put_manifest(&self, name: &str, media_type: &str, manifest: &str) -> u16 {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        self.request("PUT", &format!("/v2/{repository}/manifests/{tag}"), media_type, manifest.as_bytes()).0
    }

    /// Puts a blob there by HTTP.
    pub(crate) fn put_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let (status, headers) = self.request("POST", &uploads, "", b"");
        assert_eq!(status, 202, "{headers}");
        let location = headers.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let path = location.split_once(&self.host).map_or(location, |(_, path)| path).trim();
        let (status, headers) =
            self.request("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert_eq!(status, 201, "{headers}");
    }

    fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
        let mut socket = TcpStream::connect(&self.host).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}
