//! Why code does not become a revision: each reason with what it is about and what to do.

use std::time::Duration;

use wheelhouse_cache::CacheError;
use wheelhouse_core::gate::Permission;
use wheelhouse_core::grant::Rule;
use wheelhouse_core::{ApiError, Key, Kind, Scope};
use wheelhouse_sandbox::DescribeError;

/// Why code does not become a revision.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its description.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// What it has to be granted before it can be started.
    #[error("plugin {plugin} is not granted what its sources need; the rules that are missing: {}", lines(.missing))]
    NotGranted {
        /// The plugin.
        plugin: String,
        /// The permissions.
        missing: Vec<Permission>,
    },
    /// A watch that would be wider than what is granted, though each source is.
    #[error("plugin {plugin} needs a watch of {kind}, {scope}, which is wider than it may be: {source}")]
    Watch {
        /// The plugin.
        plugin: String,
        /// The kind.
        kind: Kind,
        /// What of it.
        scope: Scope,
        /// The gate's no.
        source: ApiError,
    },
    /// A kind that the cluster lacks, or that cannot be watched.
    #[error("plugin {plugin} needs {kind}: {source}")]
    Kind {
        /// The plugin.
        plugin: String,
        /// The kind.
        kind: Kind,
        /// Why not.
        source: CacheError,
    },
    /// A tick for an object that the reconciled kind cannot have.
    #[error(
        "plugin {plugin}: tick {tick:?} requests {key}, and objects of {kind} have {}: correct the key",
        if *.namespaced { "a namespace" } else { "no namespace" }
    )]
    Tick {
        /// The plugin.
        plugin: String,
        /// The tick.
        tick: String,
        /// The key.
        key: Key,
        /// The kind.
        kind: Kind,
        /// Whether it has namespaces.
        namespaced: bool,
    },
    /// A list that does not come.
    #[error(
        "plugin {plugin}: the first list of {kinds} was not complete within {timeout:?}; is the host allowed to list and watch it?"
    )]
    Sync {
        /// The plugin.
        plugin: String,
        /// The kinds.
        kinds: String,
        /// The time.
        timeout: Duration,
    },
}

impl PrepareError {
    /// Whether the same component may succeed later without a change of its own: when the cluster, or
    /// what is granted, has changed.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Kind { .. } | Self::Sync { .. } | Self::NotGranted { .. } | Self::Watch { .. })
    }
}

/// Permissions as the rules that grant them.
fn lines(permissions: &[Permission]) -> String {
    let line = |permission: &Permission| {
        Rule::of(permission).map_or_else(|| permission.to_string(), |rule| rule.to_string())
    };
    permissions.iter().map(line).collect::<Vec<_>>().join(", ")
}
