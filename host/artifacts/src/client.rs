//! Components, wherever they are: what is there now, its bytes, and putting it there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;

use crate::clients::Clients;
use crate::credentials::Credentials;
use crate::digest::{ComponentDigest, ManifestDigest};
use crate::error::{DigestOf, Error};
use crate::http::{Exchange, Progress};
use crate::location::{Location, WebAddress};
use crate::manifest::{self, Artifact, Layer};
use crate::reference::Reference;
use crate::registry::{Access, Repository};

/// A longer ETag is not kept.
const LONGEST_ETAG: usize = 256;

/// What one operation may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a component.
    pub bytes: u64,
    /// From the first request to the last byte.
    pub time: Duration,
    /// Between two bytes, and until the first one.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20, time: Duration::from_secs(300), stall: Duration::from_secs(30) }
    }
}

/// What a location is now, as far as it is known without the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Of an artifact in a registry.
    pub manifest: Option<ManifestDigest>,
    /// Of an artifact in a registry; of a URL it is known once the bytes are there.
    pub component: Option<ComponentDigest>,
    /// Bytes.
    pub size: Option<u64>,
    /// Of a URL, if its server has any.
    pub etag: Option<String>,
}

impl Resolved {
    /// Whether it is certain that the component is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.component, &other.component) {
            (Some(one), Some(other)) => one == other,
            _ => self.etag.is_some() && self.etag == other.etag,
        }
    }
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// It begins as a component does; whether it is a sound one is not known.
    pub bytes: Bytes,
    /// Of the bytes.
    pub component: ComponentDigest,
    /// All that is known of it.
    pub resolved: Resolved,
}

/// A component that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Of the artifact.
    pub manifest: ManifestDigest,
    /// Of the bytes.
    pub component: ComponentDigest,
}

/// Fetches and pushes. Clones share connections.
#[derive(Clone)]
pub struct Client {
    clients: Clients,
    limits: Limits,
    progress: Option<Progress>,
}

impl Client {
    /// One that trusts whom the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), and goes through the
    /// proxies of `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, but for this machine's own addresses.
    ///
    /// # Errors
    /// The system trusts nobody.
    pub fn new(limits: Limits) -> Result<Self, Error> {
        Self::trusting(limits, "")
    }

    /// One that trusts further authorities: certificates as PEM.
    ///
    /// # Errors
    /// They are no certificates.
    pub fn trusting(limits: Limits, authorities: &str) -> Result<Self, Error> {
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(authorities.as_bytes()).collect();
        let roots = roots.map_err(|error| Error::NoTls(format!("the certificates are no PEM: {error}")))?;
        Ok(Self { clients: Clients::new(roots, false)?, limits, progress: None })
    }

    /// One that reaches nothing of this machine's own addresses, by whatever name, redirect or answer of a
    /// registry: for who may say where a component is, and may not ask what listens here.
    ///
    /// # Errors
    /// The system trusts nobody.
    pub fn outside(limits: Limits) -> Result<Self, Error> {
        Ok(Self { clients: Clients::new(Vec::new(), true)?, limits, progress: None })
    }

    /// Has someone told of bytes of components: how many there are by now, and how many there will be, if that is
    /// known.
    #[must_use]
    pub fn telling(self, progress: impl Fn(u64, Option<u64>) + Send + Sync + 'static) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// What is at a location now, without fetching it.
    ///
    /// With what was `known` of it, a registry is asked in a way that does not count as a pull, and nobody is asked
    /// for what cannot change. A URL's server is asked for an ETag; one that does not answer to that is no error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn resolve(
        &self,
        location: &Location,
        credentials: &Credentials,
        known: Option<&Resolved>,
    ) -> Result<Resolved, Error> {
        match location {
            Location::Registry(reference) => {
                let known = known.filter(|known| known.manifest.is_some() && known.component.is_some());
                if let Some(known) = known
                    && reference.digest().is_some()
                    && known.manifest.as_ref() == reference.digest()
                {
                    return Ok(known.clone());
                }
                self.each(reference, credentials, Access::Pull, |repository| resolve(repository, known)).await
            }
            Location::Web(address) => self.within(address.to_string(), self.head(address)).await,
        }
    }

    /// Fetches a component: this one, if its digest is `expected`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(
        &self,
        location: &Location,
        credentials: &Credentials,
        expected: Option<&ComponentDigest>,
    ) -> Result<Fetched, Error> {
        match location {
            Location::Registry(reference) => {
                let pull = |repository| self.pull(repository, reference.to_string(), expected);
                self.each(reference, credentials, Access::Pull, pull).await
            }
            Location::Web(address) => {
                self.within(address.to_string(), self.download(address, expected)).await
            }
        }
    }

    /// Pushes a component as the CNCF's Wasm artifact. The same component always makes the same artifact.
    ///
    /// # Errors
    /// See [`Error`]; also of bytes that are no component.
    pub async fn push(
        &self,
        reference: &Reference,
        component: Bytes,
        credentials: &Credentials,
    ) -> Result<Pushed, Error> {
        let at = reference.to_string();
        check_size(&at, component.len() as u64, self.limits.bytes)?;
        let artifact = Artifact::of(&component).map_err(|why| Error::NotAComponent { at, why })?;
        let artifact = Arc::new(artifact);
        let push =
            |repository| push(repository, component.clone(), Arc::clone(&artifact), self.progress.clone());
        self.each(reference, credentials, Access::Push, push).await
    }

    /// Tries with one credential after the other.
    async fn each<T, F: Future<Output = Result<T, Error>>>(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        access: Access,
        operation: impl Fn(Repository) -> F,
    ) -> Result<T, Error> {
        let tried = async {
            let found = credentials.of(reference).await?;
            let mut candidates: Vec<_> = found.into_iter().map(Some).collect();
            if candidates.is_empty() {
                candidates.push(None);
            }
            let mut result = Err(Error::NotFound { at: reference.to_string(), said: Default::default() });
            for credential in candidates {
                let exchange = self.exchange(reference.to_string());
                result = operation(Repository::new(exchange, reference.clone(), access, credential)?).await;
                // Registries say of what one may not see that it is not there.
                if !matches!(result, Err(Error::Unauthorized { .. } | Error::NotFound { .. })) {
                    break;
                }
            }
            result
        };
        self.within(reference.to_string(), tried).await
    }

    async fn pull(
        &self,
        mut repository: Repository,
        at: String,
        expected: Option<&ComponentDigest>,
    ) -> Result<Fetched, Error> {
        let (layer, manifest) = layer(&mut repository).await?;
        check_size(&at, layer.size, self.limits.bytes)?;
        if let Some(expected) = expected {
            same_component(&at, expected, &layer.digest)?;
        }
        let bytes = repository.blob(&layer.digest, layer.size, self.progress.as_ref()).await?;
        let component = ComponentDigest::of(&bytes);
        same_component(&at, &layer.digest, &component)?;
        check_component(&at, &bytes)?;
        Ok(Fetched { bytes, component, resolved: layer.resolved(manifest) })
    }

    async fn head(&self, address: &WebAddress) -> Result<Resolved, Error> {
        let exchange = self.exchange(address.to_string());
        let response = exchange.ask(&Method::HEAD, address.url(), &HeaderMap::new()).await?;
        match response.status() {
            StatusCode::OK => {
                Ok(Resolved { size: size(&response), etag: etag(&response), ..Resolved::default() })
            }
            StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::UNAUTHORIZED
            | StatusCode::TOO_MANY_REQUESTS => Err(exchange.refused(response, false).await),
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Err(exchange.refused(response, false).await)
            }
            // A URL may be for getting alone, as those are that are signed.
            _ => Ok(Resolved::default()),
        }
    }

    async fn download(
        &self,
        address: &WebAddress,
        expected: Option<&ComponentDigest>,
    ) -> Result<Fetched, Error> {
        let exchange = self.exchange(address.to_string());
        let headers =
            HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/wasm, */*;q=0.1"))]);
        let response = exchange.ask(&Method::GET, address.url(), &headers).await?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_success() => {
                return Err(exchange.protocol(format!("HTTP {}, where 200 is due", status.as_u16())));
            }
            _ => return Err(exchange.refused(response, false).await),
        }
        let etag = etag(&response);
        let bytes = exchange.read(response, self.limits.bytes, self.progress.as_ref()).await?;
        check_component(&exchange.at, &bytes)?;
        let component = ComponentDigest::of(&bytes);
        if let Some(expected) = expected {
            same_component(&exchange.at, expected, &component)?;
        }
        let size = Some(bytes.len() as u64);
        let resolved = Resolved { manifest: None, component: Some(component), size, etag };
        Ok(Fetched { bytes, component, resolved })
    }

    fn exchange(&self, at: String) -> Exchange {
        Exchange { clients: self.clients.clone(), at, stall: self.limits.stall }
    }

    async fn within<T>(
        &self,
        at: String,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let after = self.limits.time;
        timeout(after, future).await.unwrap_or_else(|_| Err(Error::TimedOut { at, after }))
    }
}

async fn resolve(mut repository: Repository, known: Option<&Resolved>) -> Result<Resolved, Error> {
    if let Some(known) = known {
        match repository.manifest_digest().await {
            Ok(digest) if digest.is_some() && digest == known.manifest => return Ok(known.clone()),
            // Not every registry has an answer to that.
            Ok(_) | Err(Error::Refused { .. } | Error::Protocol { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let (layer, manifest) = layer(&mut repository).await?;
    Ok(layer.resolved(manifest))
}

async fn layer(repository: &mut Repository) -> Result<(Layer, ManifestDigest), Error> {
    let (bytes, manifest) = repository.manifest().await?;
    let not_a_component = |why| Error::NotAComponent { at: repository.at(), why };
    Ok((manifest::layer(&bytes).map_err(not_a_component)?, manifest))
}

async fn push(
    mut repository: Repository,
    component: Bytes,
    artifact: Arc<Artifact>,
    progress: Option<Progress>,
) -> Result<Pushed, Error> {
    repository.put_blob(artifact.component, component, progress).await?;
    repository.put_blob(artifact.config_digest, artifact.config.clone(), None).await?;
    repository.put_manifest(artifact.manifest.clone(), artifact.manifest_digest).await?;
    Ok(Pushed { manifest: artifact.manifest_digest, component: artifact.component })
}

impl Layer {
    fn resolved(self, manifest: ManifestDigest) -> Resolved {
        Resolved { manifest: Some(manifest), component: Some(self.digest), size: Some(self.size), etag: None }
    }
}

fn check_size(at: &str, size: u64, limit: u64) -> Result<(), Error> {
    if size > limit {
        return Err(Error::TooLarge { at: at.to_owned(), limit, size: Some(size) });
    }
    Ok(())
}

fn check_component(at: &str, bytes: &[u8]) -> Result<(), Error> {
    let why = manifest::not_a_component(bytes);
    why.map_or(Ok(()), |why| Err(Error::NotAComponent { at: at.to_owned(), why }))
}

fn same_component(at: &str, expected: &ComponentDigest, found: &ComponentDigest) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::DigestMismatch {
        at: at.to_owned(),
        of: DigestOf::Component,
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

fn etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(ETAG)?.to_str().ok()?;
    (etag.len() <= LONGEST_ETAG).then(|| etag.to_owned())
}

/// As it is announced: an answer to HEAD has no body.
fn size(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
