//! The HTTP stack: kube's hyper and rustls, whom it trusts, and which proxies it goes through.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
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
    /// Whether those near are nobody's business.
    outside: bool,
}

/// A host is this machine, by its name or by what that leads to.
#[derive(Debug, thiserror::Error)]
#[error("it is one of this machine's own addresses")]
pub(crate) struct OwnAddress;

/// Names lead to other machines alone.
struct Outside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside: Vec<_> = found.filter(|address| !is_own(address.ip())).collect();
            if outside.is_empty() {
                return Err(OwnAddress.into());
            }
            let addresses: Addrs = Box::new(outside.into_iter());
            Ok(addresses)
        })
    }
}

/// What leads to this machine from within it.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Likewise, of a URL, as far as it is known without asking for its name.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(url::Host::Ipv4(address)) => is_own(address.into()),
        Some(url::Host::Ipv6(address)) => is_own(address.into()),
        None => true,
    }
}

impl Clients {
    /// `outside`: nothing of this machine's own addresses is asked, whatever leads there.
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>, outside: bool) -> Result<Self, Error> {
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
        let far = if outside { client().dns_resolver(Arc::new(Outside)) } else { client() };
        Ok(Self { near: built(client().no_proxy())?, far: built(far)?, outside })
    }

    pub(crate) fn request(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<RequestBuilder, OwnAddress> {
        if self.outside && is_here(url) {
            return Err(OwnAddress);
        }
        let is_near = url.host_str().is_some_and(is_loopback);
        let client = if is_near { &self.near } else { &self.far };
        Ok(client.request(method.clone(), url.clone()).headers(headers.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hostile_who_is_outside_reaches_nothing_of_this_machine_by_any_name() {
        let clients = Clients::new(Vec::new(), true).unwrap();
        let asks = |url: &str| {
            let url: Url = url.parse().unwrap();
            clients.request(&Method::GET, &url, &HeaderMap::new()).is_ok()
        };
        for own in [
            "https://localhost/x",
            "https://LOCALHOST.:8443/x",
            "https://a.localhost/x",
            "http://127.0.0.1/x",
            "https://127.1/x",
            "https://2130706433/x",
            "https://0.0.0.0/x",
            "https://[::1]/x",
            "https://[::]/x",
            "https://[::ffff:127.0.0.1]/x",
        ] {
            assert!(!asks(own), "{own}");
        }
        assert!(asks("https://example.com/x") && asks("https://10.0.0.1/x"));
        // Whatever a name leads to.
        let resolve = |name: &str| Outside.resolve(name.parse().unwrap());
        let error = resolve("localhost").await.err().unwrap();
        assert!(error.is::<OwnAddress>(), "{error}");
        assert!(
            Clients::new(Vec::new(), false)
                .unwrap()
                .request(&Method::GET, &"https://localhost".parse().unwrap(), &HeaderMap::new())
                .is_ok()
        );
    }
}
