//! Write a Kubernetes reconciler, and nothing else: no informers, no image, no Deployment of its own.
//!
//! A plugin is a struct whose fields are its configuration. It implements [`Reconciler`], and
//! [`export!`] makes a WebAssembly component of it, which the Wheelhouse host runs in a sandbox.
//! Reads come from the host's cache; writes go through the host to the API server.
//!
//! This is a whole plugin. Where a ConfigMap is labelled `quota-for=<namespace>`, it notes on it how
//! many Pods that namespace has:
//!
//! ```
//! use serde_json::json;
//! use wheelhouse_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct PodCount {
//!     annotation: String,
//! }
//!
//! impl Default for PodCount {
//!     fn default() -> Self {
//!         Self { annotation: "example.com/pods".to_owned() }
//!     }
//! }
//!
//! impl Reconciler for PodCount {
//!     fn describe(&self) -> Spec {
//!         Spec::new("pod-count", env!("CARGO_PKG_VERSION"))
//!             .reconciles(Source::of("v1/ConfigMap").labelled("quota-for"))
//!             .caches(Source::of("v1/Pod").with_fields(["metadata"]))
//!             .needs(Permission::to([Verb::Patch], "v1/ConfigMap"))
//!             .resync(Duration::from_secs(60))
//!     }
//!
//!     fn reconcile(&self, request: &Request) -> Result<Outcome> {
//!         let Some(object) = objects::get("v1/ConfigMap", &request.key)? else {
//!             return Ok(Outcome::Done);
//!         };
//!         let namespace = object.label("quota-for").unwrap_or_default();
//!         let pods = objects::list("v1/Pod").in_namespace(namespace).count()?.to_string();
//!         if object.annotation(&self.annotation) != Some(pods.as_str()) {
//!             info!(pods = pods, "noting the number of pods in {namespace}");
//!             let patch = json!({"metadata": {"annotations": {&self.annotation: pods}}});
//!             client::merge_patch("v1/ConfigMap", &request.key, &patch).send()?;
//!         }
//!         Ok(Outcome::Done)
//!     }
//! }
//!
//! wheelhouse_sdk::export!(PodCount);
//! ```
//!
//! Its crate is a `cdylib`, built for `wasm32-wasip2`; [`serde`](https://serde.rs) is the only other
//! dependency that it must have.
//!
//! # Finding one's way
//!
//! - [`objects`] reads from the cache, [`client`] reads live and writes. An [`Object`] is read in
//!   place, or made a struct with [`Object::to`].
//! - What is in the cache is for the plugin's [`Source`]s to say: of which kinds, in which namespaces,
//!   [which objects](Source::labelled), [which fields](Source::with_fields). The less, the less memory.
//! - When the plugin is asked is for its [`Spec`] to say: [which changes count](Predicate), which kinds it
//!   [owns](Spec::owns) or [watches](Watch), and [what is asked for every so often](Spec::ticks).
//! - [`events`] tell an object's user what happened to it, [`metrics`] and the [`log`] whoever runs the plugin.
//! - Feature `kube` brings the module `typed`: the same with the types of `k8s-openapi` and of
//!   `kube`'s `CustomResource`.
//! - [`ensure_finalizer`], [`OwnerReference`], [`set_condition`] and [`write_status`] are what most
//!   reconcilers need, done once.
//! - [`Error`] is what `?` makes of every error; it decides when the reconcile is tried again.
//!
//! Outside of WebAssembly the SDK compiles, so that a plugin's logic can be tested natively; a call
//! of the host panics there.

#[doc(hidden)]
pub mod bindings;
pub mod client;
mod error;
pub mod events;
pub mod log;
mod meta;
pub mod metrics;
mod object;
pub mod objects;
mod permission;
#[doc(hidden)]
pub mod plugin;
mod predicate;
mod spec;
mod status;
#[cfg(feature = "kube")]
pub mod typed;

pub use bindings::wheelhouse::controller::types::ObjectKey;
pub use error::{
    ApiError, Denial, Error, FieldCause, LimitBreach, OptionalExt, Rejection, Result, ResultExt, Status,
    Throttle,
};
pub use meta::{OwnerReference, Stage, ensure_finalizer, remove_finalizer};
pub use object::Object;
pub use permission::{Permission, Verb};
pub use plugin::{Event, Outcome, Reconciler, Request};
pub use predicate::Predicate;
pub use spec::{Index, Source, Spec, Watch};
pub use status::{Condition, ConditionStatus, now, set_condition, write_status};
pub use wheelhouse_core::Value;
pub use wheelhouse_core::encoding::{DecodeError, EncodeError};

/// What nearly every plugin uses: `use wheelhouse_sdk::prelude::*;`.
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::{
        ApiError, Condition, Error, Event, Index, Object, ObjectKey, OptionalExt, Outcome, OwnerReference,
        Permission, Predicate, Reconciler, Request, Result, ResultExt, Source, Spec, Stage, Verb, Watch,
        client, debug, ensure_finalizer, error, events, info, metrics, objects, remove_finalizer,
        set_condition, trace, warn, write_status,
    };

    #[cfg(feature = "kube")]
    pub use crate::typed;
}
