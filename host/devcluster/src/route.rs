//! What a request's path addresses.

use percent_encoding::percent_decode_str;

use crate::registry::Served;
use std::sync::Arc;

use crate::kind::Kind;

/// The target of a request.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    Version,
    Health,
    Root,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/G`
    Group(String),
    /// `/api/v1` or `/apis/G/V`
    Resources {
        group: String,
        version: String,
    },
    OpenApiIndex,
    OpenApi {
        group: String,
        version: String,
    },
    OpenApiV2,
    Resource(Target),
}

/// Objects, or one object, of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    /// Empty for cluster-scoped kinds, and for all namespaces.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// The old form of a watch, `/api/v1/watch/…`.
    pub(crate) is_watch: bool,
}

/// The parts of a path, decoded.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// Finds what a path addresses, if the server has it.
pub(crate) fn parse(path: &str, served: &Served) -> Option<Route> {
    let segments = segments(path);
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [] => Some(Route::Root),
        ["version"] => Some(Route::Version),
        ["healthz" | "readyz" | "livez", ..] => Some(Route::Health),
        ["api"] => Some(Route::CoreVersions),
        ["apis"] => Some(Route::Groups),
        ["openapi", "v2"] => Some(Route::OpenApiV2),
        ["openapi", "v3"] => Some(Route::OpenApiIndex),
        ["openapi", "v3", "api", version] => {
            Some(Route::OpenApi { group: String::new(), version: (*version).to_owned() })
        }
        ["openapi", "v3", "apis", group, version] => {
            Some(Route::OpenApi { group: (*group).to_owned(), version: (*version).to_owned() })
        }
        ["api", version] => Some(Route::Resources { group: String::new(), version: (*version).to_owned() }),
        ["apis", group] => Some(Route::Group((*group).to_owned())),
        ["apis", group, version] => {
            Some(Route::Resources { group: (*group).to_owned(), version: (*version).to_owned() })
        }
        ["api", version, rest @ ..] => resource("", version, rest, served),
        ["apis", group, version, rest @ ..] => resource(group, version, rest, served),
        _ => None,
    }
}

/// Whether a path is within `/api`, or a group and version that the server has of itself, whose answers are all objects.
pub(crate) fn is_builtin(path: &str, served: &Served) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, version) = match segments.as_slice() {
        ["api", _, _, ..] => return true,
        ["apis", group, version, _, ..] => (*group, *version),
        _ => return false,
    };
    served.kinds.iter().any(|kind| !kind.is_custom() && kind.group == group && kind.version == version)
}

fn resource(group: &str, version: &str, rest: &[&str], served: &Served) -> Option<Route> {
    let (is_watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let find = |plural: &str| served.find(group, version, plural);
    let target = |kind: Arc<Kind>, namespace: &str, name: Option<&str>, subresource: &str| {
        let target = Target {
            kind,
            namespace: namespace.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.to_owned(),
            is_watch,
        };
        Some(Route::Resource(target))
    };
    match rest {
        // `namespaces/NAME/status` is a namespace's subresource, any other third segment a resource in it.
        ["namespaces", name, subresource @ ("status" | "finalize")] if group.is_empty() => {
            target(find("namespaces")?, "", Some(name), subresource)
        }
        ["namespaces", namespace, plural, rest @ ..] => {
            let kind = find(plural).filter(|kind| kind.namespaced)?;
            match rest {
                [] => target(kind, namespace, None, ""),
                [name] => target(kind, namespace, Some(name), ""),
                [name, subresource] => target(kind, namespace, Some(name), subresource),
                _ => None,
            }
        }
        [plural] => target(find(plural)?, "", None, ""),
        [plural, name, rest @ ..] => {
            let kind = find(plural).filter(|kind| !kind.namespaced)?;
            match rest {
                [] => target(kind, "", Some(name), ""),
                [subresource] => target(kind, "", Some(name), subresource),
                _ => None,
            }
        }
        [] => None,
    }
}
