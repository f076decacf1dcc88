//! TLS: a certificate authority, the server's certificate, and a listener that speaks it.
//!
//! A client that takes its time with the handshake holds up nobody, and is let go after a while.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many handshakes may be under way; whoever comes then waits.
const HANDSHAKES: usize = 1024;

/// What the authority's certificate says, which is the same each time, so that one from before still fits.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "wheelhouse-devcluster-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// The certificate of an authority with this key, as PEM.
pub(super) fn authority_certificate(key: &KeyPair) -> Result<String, String> {
    authority_params()
        .self_signed(key)
        .map(|certificate| certificate.pem())
        .map_err(|error| error.to_string())
}

/// What a server offers that has a new certificate of this authority.
pub(super) fn server_config(authority: &KeyPair) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key) = server_certificate(authority).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn server_certificate(authority: &KeyPair) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut params = CertificateParams::new(names.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "wheelhouse-devcluster");
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &Issuer::new(authority_params(), authority))?;
    Ok((certificate, key))
}

type Handshake = Pin<Box<dyn Future<Output = Option<(TlsStream<TcpStream>, SocketAddr)>> + Send>>;

/// Accepts connections that are through with their handshake.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: FuturesUnordered<Handshake>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, config: Arc<ServerConfig>) -> Self {
        Self { listener, acceptor: TlsAcceptor::from(config), handshakes: FuturesUnordered::new() }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let has_room = self.handshakes.len() < HANDSHAKES;
            tokio::select! {
                (stream, addr) = Listener::accept(&mut self.listener), if has_room => {
                    self.handshakes.push(handshake(self.acceptor.clone(), stream, addr));
                }
                Some(done) = self.handshakes.next(), if !self.handshakes.is_empty() => {
                    if let Some(accepted) = done {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn handshake(acceptor: TlsAcceptor, stream: TcpStream, addr: SocketAddr) -> Handshake {
    Box::pin(async move {
        no_delay(&stream);
        match tokio::time::timeout(DEADLINE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some((stream, addr)),
            Ok(Err(error)) => {
                tracing::debug!(%addr, %error, "no TLS handshake");
                None
            }
            Err(_) => {
                tracing::debug!(%addr, "a TLS handshake took too long");
                None
            }
        }
    })
}

/// Without this a small event waits for the acknowledgement of the one before.
pub(crate) fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}
