//! Certificate authorities, and a server whose certificate is of one and then of another.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::token_server::{read, write};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A client's certificate and key, as PEM.
    pub(crate) fn client(&self) -> (String, String) {
        let (certificate, key) = self.issue();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server with a certificate of this authority, that lets in whom the other has certified.
    pub(crate) fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let (certificate, key) = self.issue();
        let config = ServerConfig::builder();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).unwrap();
                config.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        config.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

pub(crate) struct TlsServer {
    uri: http::Uri,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl TlsServer {
    pub(crate) async fn new(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let serving = Arc::clone(&config);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&serving.lock().unwrap()));
                tokio::spawn(async move {
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    read(&mut socket).await;
                    write(&mut socket, "200 OK", "{}").await;
                });
            }
        });
        Self { uri, config }
    }

    /// From the next connection on.
    pub(crate) fn becomes(&self, config: ServerConfig) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    /// For a client that trusts this authority.
    pub(crate) fn config(&self, authority: &Authority) -> kube::Config {
        let mut config = kube::Config::new(self.uri.clone());
        config.root_cert = Some(vec![authority.der().to_vec()]);
        config
    }
}
