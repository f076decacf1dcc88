//! Why code does not become a revision: each reason with what it is about and what to do.

use std::time::Duration;

use wheelhouse_cache::CacheError;
use wheelhouse_core::gate::Permission;
use wheelhouse_core::grant::Rule;
use wheelhouse_core::{ApiError, Key, Kind, Scope};
use wheelhouse_sandbox::{CallError, DescribeError};

/// What a plugin's sources need, and is not granted.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} is not granted what its sources need; the rules that are missing: {}", lines(.missing))]
pub struct NotGranted {
    /// The plugin.
    pub plugin: String,
    /// The permissions.
    pub missing: Vec<Permission>,
}

/// Why code does not become a revision.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its description.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// What it has to be granted before it can be started.
    #[error(transparent)]
    NotGranted(#[from] NotGranted),
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
    /// what is granted, has changed, or the host has more room.
    pub fn waits(&self) -> bool {
        match self {
            Self::Kind { .. } | Self::Sync { .. } | Self::NotGranted(_) | Self::Watch { .. } => true,
            Self::Describe(error) => matches!(error, DescribeError::Call(CallError::Instance(_))),
            Self::Tick { .. } => false,
        }
    }
}

/// Permissions as the rules that grant them.
fn lines(permissions: &[Permission]) -> String {
    let line = |permission: &Permission| {
        Rule::of(permission).map_or_else(|| permission.to_string(), |rule| rule.to_string())
    };
    permissions.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wheelhouse_core::limits::Limit;

    use super::*;

    #[test]
    fn a_host_without_room_is_no_fault_of_the_component() {
        let describe = |error| PrepareError::Describe(DescribeError::Call(error));
        assert!(describe(CallError::Instance("no room".to_owned())).waits());
        let after = Duration::from_secs(1);
        assert!(!describe(CallError::Cpu { limit: Limit::CpuPerSecond, after }).waits());
    }
}
