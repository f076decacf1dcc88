//! The HTTP stack: kube's hyper and rustls, whom it trusts, and which proxies it goes through.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use rustls::pki_types::CertificateDer;
use url::Url;

use crate::error::Error;
use crate::http::why;
use crate::reference::is_loopback;

/// A host that does not take a connection in this time is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// HTTP clients, which trust the system's certificates and some more.
#[derive(Clone)]
pub(crate) struct Clients {
    /// For this machine's own addresses, to which no proxy leads.
    near: reqwest::Client,
    /// For all others, by the proxies that the environment names.
    far: reqwest::Client,
}

impl Clients {
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let no_tls = |error: rustls::Error| Error::NoTls(error.to_string());
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, Arc::clone(&provider));
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier.map_err(no_tls)?))
            .with_no_client_auth();
        let client = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT)
                .user_agent(concat!("wheelhouse/", env!("CARGO_PKG_VERSION")))
        };
        let built =
            |client: reqwest::ClientBuilder| client.build().map_err(|error| Error::NoTls(why(&error)));
        Ok(Self { near: built(client().no_proxy())?, far: built(client())? })
    }

    pub(crate) fn request(&self, method: &Method, url: &Url, headers: &HeaderMap) -> RequestBuilder {
        let is_near = url.host_str().is_some_and(is_loopback);
        let client = if is_near { &self.near } else { &self.far };
        client.request(method.clone(), url.clone()).headers(headers.clone())
    }
}
