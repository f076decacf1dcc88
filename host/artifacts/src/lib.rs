//! Where components can be, beside a folder: in OCI registries, and at `https://` URLs. They are resolved, fetched
//! and pushed.
//!
//! It promises, whatever a server does:
//!
//! - what is fetched is what was asked for: a manifest is the one that a reference pins, a component the one that its
//!   manifest names, and the one that the caller expects;
//! - no operation takes more bytes or time than its [`Limits`], and none waits long for the next byte;
//! - nothing goes out of HTTPS but to this machine's own addresses, and credentials go to the registry that they are
//!   for, and to the server that it names for its tokens;
//! - what is wrong is an [`Error`] to match on, in a short line, without a secret and without a server's page.
//!
//! Two digests are told apart: a component's is that of its bytes, by which the host knows it; a manifest's is what
//! `@sha256:…` in a reference means.
//!
//! It speaks to registries itself. `oci-client` takes manifests, tokens and errors of any size, follows redirects
//! out of HTTPS, and does not hand on how long a registry wants to be left alone.
//!
//! It knows neither Kubernetes nor plugins, and keeps nothing.

mod challenge;
mod client;
mod clients;
mod credential_helper;
mod credentials;
#[cfg(test)]
mod credentials_tests;
mod digest;
mod error;
mod http;
mod location;
mod manifest;
mod reference;
mod registry;

pub use client::{Client, Fetched, Limits, Pushed, Resolved};
pub use credential_helper::HelperError;
pub use credentials::{Credentials, CredentialsError};
pub use digest::{BadDigest, Component, ComponentDigest, Digest, Manifest, ManifestDigest};
pub use error::{DigestOf, Error, Said};
pub use location::{Location, LocationError, WebAddress};
pub use reference::Reference;
