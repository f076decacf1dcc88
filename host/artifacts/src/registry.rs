//! The API of a registry, for one repository: the OCI distribution specification, as far as components need it.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, and for tokens
//! <https://distribution.github.io/distribution/spec/auth/token/>.

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::{Url, form_urlencoded};

use crate::challenge::Challenge;
use crate::credentials::Credential;
use crate::digest::{ComponentDigest, Digest, ManifestDigest};
use crate::error::{DigestOf, Error};
use crate::http::{Exchange, Payload, Progress};
use crate::manifest::{ACCEPTED, LONGEST, OCI_MANIFEST};
use crate::reference::{Reference, is_loopback};

/// What a registry calls a manifest; it is believed only where it costs nothing.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// A token is some kilobytes.
const TOKEN: u64 = 256 << 10;
const FORM: &str = "application/x-www-form-urlencoded";
const BYTES: &str = "application/octet-stream";

/// What a token is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// A repository, as someone (or nobody in particular) sees it.
pub(crate) struct Repository {
    exchange: Exchange,
    reference: Reference,
    base: Url,
    access: Access,
    credential: Option<Credential>,
    authorization: Option<HeaderValue>,
}

impl Repository {
    pub(crate) fn new(
        exchange: Exchange,
        reference: Reference,
        access: Access,
        credential: Option<Credential>,
    ) -> Result<Self, Error> {
        let base = format!("{}{}/", reference.server(), reference.repository());
        let base = base.parse().map_err(|_| exchange.protocol("its registry is no host"))?;
        Ok(Self { exchange, reference, base, access, credential, authorization: None })
    }

    /// What errors name.
    pub(crate) fn at(&self) -> String {
        self.exchange.at.clone()
    }

    /// The manifest that is meant, and its digest: the reference's, if that has one.
    pub(crate) async fn manifest(&mut self) -> Result<(Bytes, ManifestDigest), Error> {
        let response = self.ask_for_manifest(Method::GET).await?;
        let announced = announced(&response);
        let bytes = self.exchange.read(response, LONGEST, None).await?;
        let found = ManifestDigest::of(&bytes);
        for expected in self.reference.digest().copied().into_iter().chain(announced) {
            self.same_manifest(expected, found)?;
        }
        Ok((bytes, found))
    }

    /// What the registry says that the manifest's digest is, if it says so.
    pub(crate) async fn manifest_digest(&mut self) -> Result<Option<ManifestDigest>, Error> {
        Ok(announced(&self.ask_for_manifest(Method::HEAD).await?))
    }

    async fn ask_for_manifest(&mut self, method: Method) -> Result<Response, Error> {
        let url = self.url(&format!("manifests/{}", self.reference.manifest()))?;
        let response = self.ask(&method, &url, Some(ACCEPTED)).await?;
        self.expect(response, StatusCode::OK).await
    }

    /// A component's bytes: just so many, or an error. They are not hashed here.
    pub(crate) async fn blob(
        &mut self,
        digest: &ComponentDigest,
        size: u64,
        progress: Option<&Progress>,
    ) -> Result<Bytes, Error> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let response = self.ask(&Method::GET, &url, None).await?;
        let response = self.expect(response, StatusCode::OK).await?;
        let wrong = |found| Error::WrongSize { at: self.at(), expected: size, found };
        match self.exchange.read(response, size, progress).await {
            Ok(bytes) if bytes.len() as u64 == size => Ok(bytes),
            Ok(bytes) => Err(wrong(bytes.len() as u64)),
            Err(Error::TooLarge { size: found, .. }) => Err(wrong(found.unwrap_or(size.saturating_add(1)))),
            Err(error) => Err(error),
        }
    }

    /// Puts a blob there, unless it is there.
    pub(crate) async fn put_blob<Of>(
        &mut self,
        digest: Digest<Of>,
        bytes: Bytes,
        progress: Option<Progress>,
    ) -> Result<(), Error> {
        let url = self.url(&format!("blobs/{digest}"))?;
        if self.ask(&Method::HEAD, &url, None).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let url = self.url("blobs/uploads/")?;
        let nothing = Payload { bytes: Bytes::new(), content_type: BYTES, progress: None };
        let response = self.send(Method::POST, &url, nothing).await?;
        let response = self.expect(response, StatusCode::ACCEPTED).await?;
        let mut url = self.exchange.location(&url, response.headers())?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let response = self.send(Method::PUT, &url, Payload { bytes, content_type: BYTES, progress }).await?;
        self.expect(response, StatusCode::CREATED).await.map(drop)
    }

    /// Puts a manifest there, under the reference's tag.
    pub(crate) async fn put_manifest(&mut self, bytes: Bytes, digest: ManifestDigest) -> Result<(), Error> {
        if let Some(expected) = self.reference.digest() {
            self.same_manifest(*expected, digest)?;
        }
        let name = self.reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let url = self.url(&format!("manifests/{name}"))?;
        let payload = Payload { bytes, content_type: OCI_MANIFEST, progress: None };
        let response = self.send(Method::PUT, &url, payload).await?;
        let response = self.expect(response, StatusCode::CREATED).await?;
        announced(&response).map_or(Ok(()), |found| self.same_manifest(digest, found))
    }

    fn same_manifest(&self, expected: ManifestDigest, found: ManifestDigest) -> Result<(), Error> {
        if expected == found {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            at: self.at(),
            of: DigestOf::Manifest,
            expected: expected.to_string(),
            found: found.to_string(),
        })
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        // Not by joining: what a digest begins with is no scheme.
        format!("{}{path}", self.base)
            .parse()
            .map_err(|_| self.exchange.protocol("its repository is no path"))
    }

    async fn expect(&self, response: Response, status: StatusCode) -> Result<Response, Error> {
        match response.status() {
            found if found == status => Ok(response),
            found if found.is_success() => Err(self.exchange.protocol(format!(
                "HTTP {}, where {} is due",
                found.as_u16(),
                status.as_u16()
            ))),
            _ => Err(self.exchange.refused(response, self.credential.is_some()).await),
        }
    }

    async fn ask(
        &mut self,
        method: &Method,
        url: &Url,
        accept: Option<&'static str>,
    ) -> Result<Response, Error> {
        let headers = |this: &Self| {
            let accept = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
            accept.into_iter().chain(this.authorization(url)).collect::<HeaderMap>()
        };
        let response = self.exchange.ask(method, url, &headers(self)).await?;
        if !self.authorize(self.challenge(&response)).await? {
            return Ok(response);
        }
        self.exchange.ask(method, url, &headers(self)).await
    }

    async fn send(&mut self, method: Method, url: &Url, payload: Payload) -> Result<Response, Error> {
        let headers = |this: &Self| this.authorization(url).into_iter().collect();
        let response = self.exchange.send(&method, url, &headers(self), payload.clone()).await?;
        if !self.authorize(self.challenge(&response)).await? {
            return Ok(response);
        }
        self.exchange.send(&method, url, &headers(self), payload).await
    }

    /// For the registry alone: where it has one send a blob may be another's server.
    fn authorization(&self, url: &Url) -> Option<(HeaderName, HeaderValue)> {
        let value = self.authorization.clone().filter(|_| url.origin() == self.base.origin())?;
        Some((AUTHORIZATION, value))
    }

    /// What the registry wants to know first.
    fn challenge(&self, response: &Response) -> Option<Challenge> {
        let asks =
            response.status() == StatusCode::UNAUTHORIZED && response.url().origin() == self.base.origin();
        asks.then(|| Challenge::of(response.headers())).flatten()
    }

    /// Gets what the registry wants to see. False if there is no such thing.
    async fn authorize(&mut self, challenge: Option<Challenge>) -> Result<bool, Error> {
        let authorization = match (challenge, &self.credential) {
            (Some(Challenge::Bearer { .. }), Some(Credential::Token(token))) => {
                Some(format!("Bearer {}", token.reveal()))
            }
            (Some(Challenge::Bearer { realm, service }), _) => Some(self.token(&realm, service).await?),
            (Some(Challenge::Basic), Some(credential)) => credential.basic(),
            _ => None,
        };
        let Some(authorization) = authorization else { return Ok(false) };
        self.authorization = Some(self.secret_header(authorization)?);
        Ok(true)
    }

    fn secret_header(&self, text: String) -> Result<HeaderValue, Error> {
        let value = HeaderValue::try_from(text);
        let mut value =
            value.map_err(|_| self.exchange.protocol("its token is no text that a header can have"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Asks the server that the registry names for a token.
    async fn token(&self, realm: &str, service: Option<String>) -> Result<String, Error> {
        let Ok(mut realm) = realm.parse::<Url>() else {
            return Err(self.exchange.protocol("it wants a token, and names no URL where one is to be had"));
        };
        // A password goes there.
        let is_safe = match realm.scheme() {
            "https" => true,
            "http" => self.base.scheme() == "http" && realm.host_str().is_some_and(is_loopback),
            _ => false,
        };
        if !is_safe {
            return Err(self
                .exchange
                .protocol("it wants a token from a server that is not reached by HTTPS"));
        }
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", self.reference.repository());
        let service = service.unwrap_or_default();
        let response = if let Some(Credential::Identity(token)) = &self.credential {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", &service)
                .append_pair("client_id", "wheelhouse")
                .append_pair("scope", &scope)
                .append_pair("refresh_token", token.reveal())
                .finish();
            let payload = Payload { bytes: form.into(), content_type: FORM, progress: None };
            self.exchange.send(&Method::POST, &realm, &HeaderMap::new(), payload).await?
        } else {
            realm.query_pairs_mut().append_pair("service", &service).append_pair("scope", &scope);
            let basic = self.credential.as_ref().and_then(Credential::basic);
            let basic = basic.map(|basic| self.secret_header(basic)).transpose()?;
            let headers = basic.map(|basic| (AUTHORIZATION, basic)).into_iter().collect();
            self.exchange.ask(&Method::GET, &realm, &headers).await?
        };
        let response = self.expect(response, StatusCode::OK).await?;
        let bytes = self.exchange.read(response, TOKEN, None).await?;
        let token = serde_json::from_slice::<Token>(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        let token = token.filter(|token| !token.is_empty()).map(|token| format!("Bearer {token}"));
        token.ok_or_else(|| self.exchange.protocol("the server for its tokens gives none"))
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

fn announced(response: &Response) -> Option<ManifestDigest> {
    response.headers().get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}
