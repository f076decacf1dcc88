//! The vocabulary of Wheelhouse: what every room of the host, and the guest SDK, agree on.
//!
//! It owns kinds, keys, selectors, the object encoding, the requests that a plugin makes of the
//! cluster, the errors that it gets, its declaration ([`spec::Spec`]), its limits, the gate, and the
//! [`access::ClusterAccess`] trait. It does no I/O and knows neither Kubernetes clients nor
//! WebAssembly runtimes; it compiles for the host and for guests.

pub mod access;
pub mod bucket;
pub mod encoding;
pub mod error;
pub mod event;
pub mod fence;
pub mod field_selector;
pub mod fields;
pub mod gate;
pub mod grant;
pub mod granted;
pub mod guarded;
pub mod kind;
pub mod limits;
pub mod moment;
pub mod outcome;
pub mod owners_stay;
pub mod ownership;
pub mod path;
pub mod pattern;
pub mod permission;
pub mod plugin_grant;
pub mod predicate;
pub mod printable;
mod quantity;
pub mod request;
pub mod scope;
pub mod selector;
pub mod series;
pub mod spec;
pub mod tick;
pub mod trace;
pub mod usage;

pub use access::ClusterAccess;
pub use encoding::{Object, Value};
pub use error::ApiError;
pub use fence::Fence;
pub use field_selector::FieldSelector;
pub use fields::Fields;
pub use gate::{Gate, Permitted};
pub use grant::Grant;
pub use granted::Granted;
pub use kind::{Key, Kind};
pub use moment::Moment;
pub use outcome::Outcome;
pub use path::FieldPath;
pub use predicate::Predicate;
pub use quantity::parse_bytes;
pub use scope::Scope;
pub use selector::LabelSelector;
pub use spec::Spec;
