//! Discovery: the documents from which clients learn which kinds are served, plain and aggregated.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::Json;
use crate::registry::Served;
use crate::types;

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// `/version`: the API level that the server follows.
pub(crate) fn version() -> Value {
    let (major, minor) = types::VERSION;
    json!({
        "major": major.to_string(), "minor": minor.to_string(),
        "gitVersion": format!("v{major}.{minor}.0+wheelhouse"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// `/`
pub(crate) fn root(served: &Served) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in served.groups() {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    json!({ "paths": paths })
}

/// `/api`
pub(crate) fn core_versions(address: &str) -> Value {
    json!({ "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }] })
}

/// `/apis`
pub(crate) fn groups(served: &Served) -> Value {
    let groups: Vec<Value> =
        served.groups().iter().map(|(group, versions)| group_json(group, versions)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/G`
pub(crate) fn group(served: &Served, name: &str) -> Option<Value> {
    let groups = served.groups();
    let (group, versions) = groups.iter().find(|(group, _)| *group == name)?;
    let mut document = group_json(group, versions);
    if let Some(document) = document.as_object_mut() {
        document.insert("kind".to_owned(), "APIGroup".into());
        document.insert("apiVersion".to_owned(), "v1".into());
    }
    Some(document)
}

fn group_json(group: &str, versions: &[&str]) -> Value {
    let version = |version: &str| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({
        "name": group,
        "versions": versions.iter().map(|name| version(name)).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(|name| version(name)),
    })
}

/// `/api/v1` and `/apis/G/V`
pub(crate) fn resources(served: &Served, group: &str, version: &str) -> Option<Value> {
    let kinds = of_version(served, group, version);
    if kinds.is_empty() {
        return None;
    }
    let mut resources = Vec::new();
    for kind in &kinds {
        resources.push(Value::Object(resource(kind)));
        for (name, scope_kind, verbs) in subresources(kind) {
            let mut entry = json!({ "name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": scope_kind.kind, "verbs": verbs });
            if let (Some((group, version)), Some(entry)) = (scope_kind.group_version, entry.as_object_mut()) {
                entry.insert("group".to_owned(), group.into());
                entry.insert("version".to_owned(), version.into());
            }
            resources.push(entry);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": resources }))
}

fn of_version<'a>(served: &'a Served, group: &str, version: &str) -> Vec<&'a Kind> {
    let kinds = served.kinds.iter().filter(|kind| kind.group == group && kind.version == version);
    kinds.map(|kind| &**kind).collect()
}

fn resource(kind: &Kind) -> Json {
    let mut entry = Json::new();
    entry.insert("name".to_owned(), kind.plural.clone().into());
    entry.insert("singularName".to_owned(), kind.singular.clone().into());
    entry.insert("namespaced".to_owned(), kind.namespaced.into());
    entry.insert("kind".to_owned(), kind.kind.clone().into());
    entry.insert("verbs".to_owned(), json!(verbs(kind)));
    if !kind.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(kind.short_names));
    }
    if !kind.categories.is_empty() {
        entry.insert("categories".to_owned(), json!(kind.categories));
    }
    if !kind.is_virtual {
        entry.insert("storageVersionHash".to_owned(), json!(""));
    }
    entry
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.is_virtual {
        true => &["create"],
        // Nobody deletes all of them at once.
        false if kind.is("", "namespaces") => {
            &["create", "delete", "get", "list", "patch", "update", "watch"]
        }
        false => VERBS,
    }
}

/// Whether a verb can be used on a kind, or on a subresource of it.
pub(crate) fn offers(kind: &Kind, subresource: &str, verb: &str) -> bool {
    match subresource {
        "" => verbs(kind).contains(&verb),
        name => subresources(kind).iter().any(|(known, _, verbs)| *known == name && verbs.contains(&verb)),
    }
}

/// The kind of a subresource's body, where it differs from the parent's group and version.
struct BodyKind {
    kind: String,
    group_version: Option<(&'static str, &'static str)>,
}

fn subresources(kind: &Kind) -> Vec<(&'static str, BodyKind, &'static [&'static str])> {
    let own = || BodyKind { kind: kind.kind.clone(), group_version: None };
    let mut all = Vec::new();
    for name in kind.extra {
        let (body, verbs): (BodyKind, &'static [&'static str]) = match *name {
            "eviction" => {
                (BodyKind { kind: "Eviction".to_owned(), group_version: Some(("policy", "v1")) }, &["create"])
            }
            "binding" => (BodyKind { kind: "Binding".to_owned(), group_version: None }, &["create"]),
            "token" => (
                BodyKind {
                    kind: "TokenRequest".to_owned(),
                    group_version: Some(("authentication.k8s.io", "v1")),
                },
                &["create"],
            ),
            "finalize" => (own(), &["update"]),
            _ => (own(), &["get", "patch", "update"]),
        };
        all.push((*name, body, verbs));
    }
    if kind.scale.is_some() {
        let body = BodyKind { kind: "Scale".to_owned(), group_version: Some(("autoscaling", "v1")) };
        all.push(("scale", body, &["get", "patch", "update"]));
    }
    if kind.has_status {
        all.push(("status", own(), &["get", "patch", "update"]));
    }
    all
}

/// The aggregated form (`APIGroupDiscoveryList`) of `/api` or of `/apis`.
pub(crate) fn aggregated(served: &Served, is_core: bool) -> Value {
    let groups: Vec<(&str, Vec<&str>)> = match is_core {
        true => vec![("", vec!["v1"])],
        false => served.groups(),
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let kinds = of_version(served, group, version);
                    let resources: Vec<Value> = kinds.iter().map(|kind| aggregated_resource(kind)).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            let metadata = match *group {
                "" => json!({ "creationTimestamp": null }),
                name => json!({ "name": name, "creationTimestamp": null }),
            };
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

fn aggregated_resource(kind: &Kind) -> Value {
    let own = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
    let subresources: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|(name, body, verbs)| {
            let (group, version) = body.group_version.unwrap_or((&kind.group, &kind.version));
            json!({ "subresource": name, "verbs": verbs,
                "responseKind": { "group": group, "version": version, "kind": body.kind } })
        })
        .collect();
    let mut entry = json!({
        "resource": kind.plural, "responseKind": own, "singularResource": kind.singular, "verbs": verbs(kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
    });
    if let Some(entry) = entry.as_object_mut() {
        for (field, list) in [
            ("shortNames", json!(kind.short_names)),
            ("categories", json!(kind.categories)),
            ("subresources", json!(subresources)),
        ] {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                entry.insert(field.to_owned(), list);
            }
        }
    }
    entry
}
