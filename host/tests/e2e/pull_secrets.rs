//! A registry elsewhere, from which a Plugin of a namespace fetches with that namespace's own pull secret.
//!
//! No such Plugin reaches an address of this machine, so the registry's name leads nowhere, and a proxy leads to it, as
//! many a cluster has one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::docker_registry::{PASSWORD, Registry, USER};
use crate::plugin_resources::*;
use crate::support::{Host, plugin, wheelhouse};

/// A name that is nobody's, by RFC 6761.
const NAME: &str = "registry.test";

/// A registry that has this name for who takes the proxy and trusts the authority.
struct Elsewhere {
    _registry: Registry,
    proxy: String,
    folder: tempfile::TempDir,
}

fn pipe(from: &TcpStream, to: &TcpStream) {
    let _ = std::io::copy(&mut &*from, &mut &*to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Leads who asks for the name to this address, and nobody anywhere else.
fn lead(client: TcpStream, address: &str) -> Option<()> {
    // It says nothing more before it is answered.
    let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
    let first = lines.next()?;
    let _head = lines.take_while(|line| !line.is_empty()).count();
    if !first.starts_with(&format!("CONNECT {NAME}:443 ")) {
        return write!(&client, "HTTP/1.1 403 Forbidden\r\n\r\n").ok();
    }
    let server = TcpStream::connect(address).ok()?;
    write!(&client, "HTTP/1.1 200 OK\r\n\r\n").ok()?;
    std::thread::scope(|scope| {
        scope.spawn(|| pipe(&client, &server));
        pipe(&server, &client);
    });
    Some(())
}

impl Elsewhere {
    fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let registry = Registry::start_with_users_and_tls(&certificate.pem(), &key.serialize_pem());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
        std::fs::write(folder.path().join("config.json"), Self::credentials()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let address = registry.host.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let address = address.clone();
                std::thread::spawn(move || lead(client, &address));
            }
        });
        Self { _registry: registry, proxy, folder }
    }

    /// As `docker login` keeps them.
    fn credentials() -> String {
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        json!({"auths": {NAME: {"auth": auth}}}).to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For whoever runs the command, the registry is there, and lets them in.
    fn is_there_for<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let docker: &Path = self.folder.path();
        command.env("HTTPS_PROXY", &self.proxy).env_remove("NO_PROXY").env("DOCKER_CONFIG", docker);
        command.env("SSL_CERT_FILE", self.path("authority.pem")).env_remove("SSL_CERT_DIR")
    }
}

#[tokio::test]
async fn a_plugin_of_a_namespace_fetches_with_that_namespaces_own_pull_secret() {
    let elsewhere = Elsewhere::start();
    let reference = format!("{NAME}/team/echo:1");
    let mut push = wheelhouse();
    let pushed = elsewhere.is_there_for(&mut push).args(["push", &reference]).arg(plugin("echo")).output();
    let pushed = pushed.unwrap();
    assert!(pushed.status.success(), "{pushed:?}");

    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--grace", "3"]);
    let host = Host::of_command(elsewhere.is_there_for(&mut command), tempfile::tempdir().unwrap()).await;
    let secret = |namespace: &str, text: String| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "pull", "namespace": namespace}, "data": {".dockerconfigjson": STANDARD.encode(text)},
        })
    };
    for team in ["team-a", "team-b"] {
        namespace(&host, team).await;
    }
    host.create(secret("team-b", Elsewhere::credentials())).await;
    // The credentials of the host's own user are not for it, and those of another namespace cannot be named.
    let with = |pull_secrets: Value| {
        let mut of = namespaced(echo_of("team-a"));
        of["component"] = json!({"oci": reference, "pullSecrets": pull_secrets});
        of
    };
    order(&host, "team-a", "echo", with(json!([]))).await;
    let refused = until(&host, "team-a", "echo", "Fetched", "False", "Unauthorized").await;
    assert!(message(&refused, "Fetched").contains("there are no credentials for it"), "{refused:?}");
    let named = |pull_secrets: Value| json!({"component": {"pullSecrets": pull_secrets}});
    change(&host, "team-a", "echo", named(json!([{"name": "pull", "namespace": "team-b"}]))).await;
    until(&host, "team-a", "echo", "Fetched", "False", "NamespaceNotAllowed").await;
    change(&host, "team-a", "echo", named(json!([{"name": "pull"}]))).await;
    let missing = until(&host, "team-a", "echo", "Fetched", "False", "SecretNotFound").await;
    assert!(message(&missing, "Fetched").contains("there is no Secret team-a/pull"), "{missing:?}");
    // It comes, and is found by itself.
    host.create(secret("team-a", Elsewhere::credentials())).await;
    let ready = until_ready(&host, "team-a", "echo").await;
    let artifact = ready.data["status"]["artifact"].as_str().unwrap();
    assert!(artifact.starts_with(&format!("{reference}@sha256:")), "{artifact}");
}
