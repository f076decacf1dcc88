//! What a request wants to do, as rules speak of it: a verb, and a resource or a path.
//!
//! It is told from the path alone, before anything is known of what is served, so that a refusal says
//! nothing about that. The path is read as `route` reads it: what is allowed is what is then done.
//! Follows "Determine the Request Verb" in the Kubernetes documentation.

use http::Method;
use http::request::Parts;

use crate::params::Params;
use crate::{route, selector};

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attributes {
    Resource(ResourceAttributes),
    /// A path that is no resource's, such as `/version`, with the HTTP method in lower case.
    Path {
        verb: String,
        path: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResourceAttributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// Empty for what is of the cluster, or of all namespaces.
    pub(crate) namespace: String,
    /// Empty for all names.
    pub(crate) name: String,
}

impl ResourceAttributes {
    /// A verb on an object of a resource, given by group and plural, in a namespace and by a name.
    pub(crate) fn of_object(
        verb: &str,
        (group, plural): (&str, &str),
        (namespace, name): (&str, &str),
    ) -> Self {
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: plural.to_owned(),
            subresource: String::new(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// `resource`, or `resource/subresource`.
    pub(crate) fn combined(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }
}

impl Attributes {
    pub(crate) fn of(parts: &Parts) -> Self {
        let path = parts.uri.path();
        let segments = route::segments(path);
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, rest) = match words.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (is_watch, rest) = match rest {
            ["watch", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let Some(mut attributes) = place(group, rest) else {
            let end = if path.len() > 1 && path.ends_with('/') { "/" } else { "" };
            let path = format!("/{}{end}", words.join("/"));
            return Self::Path { verb: parts.method.as_str().to_lowercase(), path };
        };
        let params = Params::parse(&parts.uri).unwrap_or_default();
        attributes.verb = verb(&parts.method, attributes.name.is_empty(), is_watch).to_owned();
        if attributes.verb == "list" {
            // A `watch` among the parameters says something only of what would be a list.
            if params.is_watch() {
                attributes.verb = "watch".to_owned();
            }
            attributes.name = selector::only_name(params.get("fieldSelector")).unwrap_or_default();
        }
        Self::Resource(attributes)
    }
}

/// Which resource a path is of, after its group and version.
fn place(group: &str, rest: &[&str]) -> Option<ResourceAttributes> {
    let (namespace, rest) = match rest {
        // A namespace is in itself, so that a role within it may give access to it.
        ["namespaces", name] => (*name, rest),
        ["namespaces", name, "status" | "finalize"] if group.is_empty() => (*name, rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        rest => ("", rest),
    };
    let word = |index: usize| rest.get(index).copied().unwrap_or_default().to_owned();
    (!rest.is_empty()).then(|| ResourceAttributes {
        verb: String::new(),
        group: group.to_owned(),
        resource: word(0),
        name: word(1),
        subresource: word(2),
        namespace: namespace.to_owned(),
    })
}

/// The verb of a request, as method and path tell it; of a method that no resource knows there is none, which only `*` allows.
fn verb(method: &Method, is_collection: bool, is_watch: bool) -> &'static str {
    match (method.as_str(), is_collection) {
        // Whatever it would do to it: nothing but a watch is served there.
        _ if is_watch => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str) -> String {
        let (parts, ()) = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        match Attributes::of(&parts) {
            Attributes::Resource(of) => {
                format!("{} {}|{}|{}|{}", of.verb, of.group, of.combined(), of.namespace, of.name)
            }
            Attributes::Path { verb, path } => format!("{verb} {path}"),
        }
    }

    #[test]
    fn verbs_and_resources_are_told_from_method_and_path() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods", "list |pods||"),
            ("GET", "/api/v1/namespaces/a/pods?watch=1", "watch |pods|a|"),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch |pods|a|"),
            ("HEAD", "/api/v1/namespaces/a/pods/p", "get |pods|a|p"),
            ("GET", "/api/v1/namespaces/a/pods/p?watch=1", "get |pods|a|p"),
            ("GET", "/api/v1/watch/namespaces/a/pods/p", "watch |pods|a|p"),
            ("PUT", "/api/v1/namespaces/a/pods/p/status", "update |pods/status|a|p"),
            ("POST", "/apis/apps/v1/namespaces/a/deployments", "create apps|deployments|a|"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch apps|deployments/scale|a|d"),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection apps|deployments|a|"),
            ("DELETE", "/api/v1/nodes/n", "delete |nodes||n"),
            ("GET", "/api/v1/namespaces", "list |namespaces||"),
            ("GET", "/api/v1/namespaces/a", "get |namespaces|a|a"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update |namespaces/finalize|a|a"),
            ("GET", "/apis/example.com/v1/namespaces/a/status", "list example.com|status|a|"),
        ] {
            assert_eq!(of(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn the_old_form_of_a_watch_is_one_by_any_method() {
        assert_eq!(of("DELETE", "/api/v1/watch/pods"), "watch |pods||");
        assert_eq!(of("POST", "/api/v1/watch/namespaces/a/pods?watch=true"), "watch |pods|a|");
    }

    #[test]
    fn a_list_of_one_name_is_about_that_name() {
        let uri = "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dp";
        assert_eq!(of("GET", uri), "list |pods|a|p");
        assert_eq!(of("HEAD", uri), "list |pods|a|p");
        assert_eq!(of("GET", &format!("{uri}&watch=1")), "watch |pods|a|p");
        assert_eq!(of("DELETE", uri), "deletecollection |pods|a|", "which is about many");
        let old_form = uri.replace("v1", "v1/watch");
        assert_eq!(of("GET", &old_form), "watch |pods|a|");
        assert_eq!(of("GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dp"), "list |pods||");
        let first = "/api/v1/pods?fieldSelector=&fieldSelector=metadata.name%3Dp";
        assert_eq!(of("GET", first), "list |pods||", "only the first selector has an effect");
    }

    #[test]
    fn what_is_no_resource_is_a_path_however_it_is_written() {
        for (method, uri, expected) in [
            ("GET", "/", "get /"),
            ("GET", "/version", "get /version"),
            ("GET", "/%76ersion", "get /version"),
            ("GET", "//version/", "get /version/"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("POST", "/faults", "post /faults"),
            ("GET", "/api/v1/watch", "get /api/v1/watch"),
        ] {
            assert_eq!(of(method, uri), expected, "{method} {uri}");
        }
        assert_eq!(of("GET", "/api//v1/%70ods"), "list |pods||", "as the route reads it");
    }
}
