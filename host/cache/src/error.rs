//! What can go wrong between the host and the cache.

use wheelhouse_core::Kind;

use crate::rest::Failure;

/// Why there is no informer, or no resource, for a kind.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// Discovery does not list it.
    #[error(
        "the cluster serves no kind {} in {}: install its CustomResourceDefinition, or correct the group or version",
        kind.kind(), kind.api_version()
    )]
    UnknownKind {
        /// The kind that is not served.
        kind: Kind,
    },
    /// Discovery did not answer.
    #[error("cannot find out how the cluster serves {kind}: {failure}")]
    Discovery {
        /// The kind that was looked for.
        kind: Kind,
        /// Why.
        failure: Failure,
    },
}
