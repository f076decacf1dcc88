//! One rule of a role, and what it allows.
//!
//! Follows "Using RBAC Authorization" in the Kubernetes documentation.

use std::fmt;

use serde_json::{Map, Value, json};

use super::attributes::{Attributes, ResourceAttributes};

pub(super) const ALL: &str = "*";

/// A `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

/// Whether a path of a rule, which may end in `*`, is of a path.
pub(super) fn url_matches(pattern: &str, path: &str) -> bool {
    pattern == ALL
        || pattern == path
        || pattern.strip_suffix(ALL).is_some_and(|start| path.starts_with(start))
}

impl Rule {
    /// Reads a rule; what is of a wrong type reads as absent.
    pub(crate) fn parse(rule: &Value) -> Self {
        let list = |field: &str| {
            let items = rule.get(field).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut rule = Map::new();
        for (field, list) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !list.is_empty() || field == "verbs" {
                rule.insert(field.to_owned(), json!(list));
            }
        }
        Value::Object(rule)
    }

    pub(crate) fn allows(&self, attributes: &Attributes) -> bool {
        match attributes {
            Attributes::Resource(of) => {
                has_or_all(&self.verbs, &of.verb)
                    && has_or_all(&self.groups, &of.group)
                    && self.has_resource(of)
                    && (self.names.is_empty() || has(&self.names, &of.name))
            }
            Attributes::Path { verb, path } => {
                has_or_all(&self.verbs, verb) && self.urls.iter().any(|url| url_matches(url, path))
            }
        }
    }

    fn has_resource(&self, of: &ResourceAttributes) -> bool {
        let combined = of.combined();
        let of_any = |resource: &String| {
            !of.subresource.is_empty() && resource.strip_prefix("*/") == Some(of.subresource.as_str())
        };
        self.resources.iter().any(|resource| resource == ALL || *resource == combined || of_any(resource))
    }
}

/// As messages show a rule.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ]
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(field, list)| format!("{field}:{}", quoted(list)))
        .collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// A list of texts as Go prints it.
pub(crate) fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: Value) -> Rule {
        Rule::parse(&json)
    }

    fn of(verb: &str, group: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let mut of = ResourceAttributes::of_object(verb, (group, resource), ("", name));
        of.subresource = subresource.to_owned();
        Attributes::Resource(of)
    }

    #[test]
    fn a_rule_allows_what_all_its_lists_have() {
        let pods =
            rule(json!({ "verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods"] }));
        assert!(pods.allows(&of("get", "", "pods", "p")) && pods.allows(&of("list", "apps", "pods", "")));
        for other in [
            of("delete", "", "pods", "p"),
            of("get", "batch", "pods", "p"),
            of("get", "", "secrets", "p"),
            of("get", "", "pods/log", "p"),
            of("GET", "", "pods", "p"),
        ] {
            assert!(!pods.allows(&other), "{other:?}");
        }
    }

    #[test]
    fn an_absent_list_allows_nothing_and_a_star_everything() {
        for json in [
            json!({}),
            json!({ "verbs": ["*"], "apiGroups": ["*"] }),
            json!({ "verbs": ["*"], "resources": ["*"] }),
            json!({ "apiGroups": ["*"], "resources": ["*"] }),
            json!({ "verbs": "get", "apiGroups": [""], "resources": ["pods"] }),
        ] {
            assert!(!rule(json.clone()).allows(&of("get", "", "pods", "")), "{json}");
        }
        let all = rule(json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }));
        assert!(all.allows(&of("any", "g", "things/part", "n")));
        assert!(!all.allows(&Attributes::Path { verb: "get".to_owned(), path: "/".to_owned() }));
        // A star is a star only alone.
        let none = rule(json!({ "verbs": ["g*"], "apiGroups": [""], "resources": ["po*"] }));
        assert!(!none.allows(&of("get", "", "pods", "")));
    }

    #[test]
    fn subresources_and_names_are_matched_whole() {
        let scale = rule(json!({ "verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"] }));
        assert!(scale.allows(&of("get", "apps", "deployments/scale", "d")));
        assert!(!scale.allows(&of("get", "apps", "deployments", "d")));
        assert!(!scale.allows(&of("get", "apps", "deployments/rescale", "d")));
        let any = rule(json!({ "verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/"] }));
        assert!(!any.allows(&of("get", "apps", "deployments", "d")));
        let named = rule(json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"],
            "resourceNames": ["a"] }));
        assert!(named.allows(&of("get", "", "pods", "a")));
        assert!(!named.allows(&of("get", "", "pods", "")) && !named.allows(&of("get", "", "pods", "ab")));
    }

    #[test]
    fn a_path_may_end_in_a_star() {
        let paths = rule(json!({ "verbs": ["get"], "nonResourceURLs": ["/logs/*", "/healthz"] }));
        let allows = |verb: &str, path: &str| {
            paths.allows(&Attributes::Path { verb: verb.to_owned(), path: path.to_owned() })
        };
        assert!(allows("get", "/logs/") && allows("get", "/logs/a/b") && allows("get", "/healthz"));
        assert!(!allows("get", "/logs") && !allows("get", "/healthz/a") && !allows("post", "/healthz"));
    }
}
