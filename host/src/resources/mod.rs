//! The `Plugin` and `ClusterPlugin` resources (`wheelhouse.dev/v1alpha1`) as a source of plugins.
//!
//! What it promises:
//! - a plugin is another one when its resource's generation or its component changes, and not when its status
//!   does;
//! - a change of the grant or the limits counts from the next call on, as with a grant file;
//! - a namespaced Plugin reaches nothing outside of its namespace: neither what it is granted, nor where its
//!   component is;
//! - of a Secret nothing is kept but the component that is in it;
//! - what was fetched from a registry counts as long as nobody answers there, and after a restart, too;
//! - while a cluster cannot be reached, what its resources wanted last is made ready, and runs once the cluster has said
//!   that it is still so;
//! - a cluster without the definitions is no error, and one that gets them later is noticed.

mod artifact;
mod component;
mod crd;
mod follower;
mod memory;
mod order;
mod source;
mod status;
mod types;
mod writer;

pub(crate) use component::Fetching;
pub(crate) use crd::{install, yaml};
pub(crate) use source::{Resources, kind};
pub(crate) use writer::write;

/// Of both kinds.
pub(crate) const GROUP: &str = "wheelhouse.dev";
const VERSION: &str = "v1alpha1";
/// The host's field manager.
const MANAGER: &str = "wheelhouse";
