//! What a plugin is called before anybody knows what it calls itself: by where it comes from.

use std::fmt;
use std::path::{Path, PathBuf};

/// Of one place that holds one plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PluginId {
    /// A file of the plugin folder.
    File(PathBuf),
    /// A resource: a Plugin, or a ClusterPlugin, which has the namespace "".
    Resource { namespace: String, name: String },
}

impl PluginId {
    /// For people, where little room is: the file's name without its ending.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Resource { namespace, name } if namespace.is_empty() => name.clone(),
            Self::Resource { namespace, name } => format!("{namespace}.{name}"),
        }
    }

    /// Likewise, as it is written.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Resource { .. } => self.to_string(),
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Resource { .. } => None,
        }
    }

    /// Beyond which it must not reach; none if there is no such bound.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Resource { namespace, .. } if !namespace.is_empty() => Some(namespace),
            Self::File(_) | Self::Resource { .. } => None,
        }
    }
}

impl fmt::Display for PluginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Resource { namespace, name } if namespace.is_empty() => write!(f, "ClusterPlugin/{name}"),
            Self::Resource { namespace, name } => write!(f, "Plugin/{namespace}/{name}"),
        }
    }
}
