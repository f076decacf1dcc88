//! What the controllers of a cluster do about access: each namespace gets the ServiceAccount `default` and the
//! ConfigMap `kube-root-ca.crt`, and ClusterRoles with an aggregation rule get their rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::index::CLUSTER_ROLES;
use super::{AccessMode, bootstrap, tokens};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::history::Event;
use crate::managed::Writer;
use crate::object::{self, Json, Object};
use crate::selector::LabelSelector;
use crate::store::Key;
use crate::write::{self, FieldValidation, Write};

/// The ServiceAccount that each namespace has.
pub(super) const DEFAULT: &str = "default";
const NAMESPACES: &str = "namespaces";
const CONFIG_MAPS: &str = "configmaps";
const ROOT_AUTHORITY: &str = "kube-root-ca.crt";
const MANAGER: &str = "kube-controller-manager";
const AGGREGATION: &str = "clusterrole-aggregation-controller";

/// Makes what must be there before the first request. Nothing in an open cluster.
pub(crate) fn prepare(cluster: &Cluster) -> Result<(), ApiError> {
    if cluster.access.is_open() {
        return Ok(());
    }
    if cluster.access.mode == AccessMode::Rbac {
        bootstrap::reconcile(cluster)?;
        aggregate_all(cluster);
    }
    for namespace in cluster.store.list_all(NAMESPACES) {
        furnish(cluster, object::name(&namespace.json));
    }
    Ok(())
}

/// Works until the cluster is dropped or stops.
pub(crate) async fn run(cluster: Arc<Cluster>, mut events: UnboundedReceiver<Arc<Event>>) {
    let mut stopping = cluster.stopping.subscribe();
    loop {
        let first = tokio::select! {
            event = events.recv() => event,
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let Some(first) = first else { return };
        // What happened together is looked at once.
        let (mut namespaces, mut roles) = (BTreeSet::new(), false);
        let mut next = Some(first);
        while let Some(event) = next {
            match (&*event.storage, event.key.name.as_str()) {
                (CLUSTER_ROLES, _) => roles = true,
                (NAMESPACES, name) => {
                    namespaces.insert(name.to_owned());
                }
                (tokens::SERVICE_ACCOUNTS, DEFAULT) | (CONFIG_MAPS, ROOT_AUTHORITY) => {
                    namespaces.insert(event.key.namespace.clone());
                }
                _ => {}
            }
            next = events.try_recv().ok();
        }
        for namespace in &namespaces {
            furnish(&cluster, namespace);
        }
        if roles {
            aggregate_all(&cluster);
        }
    }
}

/// A write of the server's own.
pub(super) fn write_of(cluster: &Cluster, storage: &str, key: Key, manager: &str) -> Result<Write, ApiError> {
    Ok(Write {
        kind: cluster.kind_of(storage).ok_or_else(ApiError::no_such_path)?,
        key,
        writer: Writer { manager: manager.to_owned(), subresource: String::new() },
        author: None,
        dry_run: false,
        validation: FieldValidation::Ignore,
    })
}

/// Gives a namespace what each has, unless it is on its way out.
fn furnish(cluster: &Cluster, namespace: &str) {
    let found = cluster.store.get(NAMESPACES, &Key::new("", namespace));
    if found.is_none_or(|namespace| object::is_deleting(&namespace.json)) {
        return;
    }
    let authority = cluster.access.tls.as_ref().map(|tls| tls.authority.clone()).unwrap_or_default();
    let result =
        put(cluster, tokens::SERVICE_ACCOUNTS, Key::new(namespace, DEFAULT), ("metadata", json!({})))
            .and_then(|()| {
                let data = json!({ "ca.crt": authority });
                put(cluster, CONFIG_MAPS, Key::new(namespace, ROOT_AUTHORITY), ("data", data))
            });
    if let Err(error) = result {
        // Somebody else was faster, or the namespace is on its way out; an event of that comes too.
        tracing::debug!(%error, namespace, "not furnished");
    }
}

/// Sees to it that an object is there, and has this value in a field.
fn put(cluster: &Cluster, storage: &str, key: Key, (field, value): (&str, Value)) -> Result<(), ApiError> {
    let write = write_of(cluster, storage, key.clone(), MANAGER)?;
    match cluster.store.get(storage, &key) {
        None => {
            let mut json = Json::new();
            json.insert(field.to_owned(), value);
            write::create(cluster, &write, json).map(|_| ())
        }
        Some(_) if field == "metadata" => Ok(()),
        Some(found) if found.json.get(field) == Some(&value) => Ok(()),
        Some(_) => {
            let changed = write::change(cluster, &write, |found| {
                let mut json = found.clone();
                json.insert(field.to_owned(), value.clone());
                Ok(json)
            });
            changed.map(|_| ())
        }
    }
}

/// Writes the rules of all ClusterRoles that are made from others.
fn aggregate_all(cluster: &Cluster) {
    // One may be made from another that is: each round brings the rules one step further, at most so many.
    let count = cluster.store.list_all(CLUSTER_ROLES).iter().filter(|role| is_aggregated(&role.json)).count();
    for _ in 0..count {
        let all = cluster.store.list_all(CLUSTER_ROLES);
        let mut has_changed = false;
        for role in all.iter().filter(|role| is_aggregated(&role.json)) {
            let rules = aggregated(&role.json, &all);
            if role.json.get("rules").unwrap_or(&Value::Null) != &rules {
                has_changed = true;
                set_rules(cluster, &role.json, &rules);
            }
        }
        if !has_changed {
            return;
        }
    }
}

fn is_aggregated(role: &Json) -> bool {
    role.get("aggregationRule").is_some_and(Value::is_object)
}

/// The rules of all roles that an aggregated role selects, each once.
fn aggregated(role: &Json, all: &[Arc<Object>]) -> Value {
    let selectors = object::at(role, &["aggregationRule", "clusterRoleSelectors"]).and_then(Value::as_array);
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors.into_iter().flatten().filter_map(Value::as_object) {
        let others = all.iter().filter(|other| object::name(&other.json) != object::name(role));
        for other in others.filter(|other| LabelSelector::of(selector).matches(&other.json)) {
            for rule in other.json.get("rules").and_then(Value::as_array).into_iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules.into()
}

fn set_rules(cluster: &Cluster, role: &Json, rules: &Value) {
    let key = Key::of(role);
    let result = write_of(cluster, CLUSTER_ROLES, key, AGGREGATION).and_then(|write| {
        write::change(cluster, &write, |current| {
            let mut json = current.clone();
            // Of another rule the next event brings the rules.
            if current.get("aggregationRule") == role.get("aggregationRule") {
                json.insert("rules".to_owned(), rules.clone());
            }
            Ok(json)
        })
    });
    if let Err(error) = result {
        tracing::debug!(%error, name = object::name(role), "not aggregated");
    }
}
