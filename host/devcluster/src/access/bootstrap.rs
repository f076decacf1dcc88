//! Brings the roles and bindings that every cluster has to what they should be, when the server starts.
//!
//! What is missing is added; what somebody added stays, and what is annotated
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone, as "Auto-reconciliation" in the
//! Kubernetes documentation says.

use serde_json::{Value, json};

use super::bootstrap_rules::{BINDINGS, ROLES, Role};
use super::controllers::write_of;
use super::cover;
use super::index::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, rules_of};
use super::rule::Rule;
use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions};
use crate::error::ApiError;
use crate::object::{self, Json};
use crate::store::Key;
use crate::write;

const MANAGER: &str = "kube-apiserver";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// The label that puts the rules of a role into a role for people.
fn label(goes_into: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{goes_into}")
}

pub(super) fn reconcile(cluster: &Cluster) -> Result<(), ApiError> {
    for role in ROLES {
        reconcile_role(cluster, role)?;
    }
    for (role, groups) in BINDINGS {
        reconcile_binding(cluster, role, groups)?;
    }
    Ok(())
}

fn reconcile_role(cluster: &Cluster, role: &Role) -> Result<(), ApiError> {
    let mut wanted = json!({ "metadata": metadata(role.name), "rules": role.rules() });
    if let (Some(into), Some(meta)) =
        (role.goes_into, wanted.get_mut("metadata").and_then(Value::as_object_mut))
    {
        object::set(meta, &["labels", &label(into)], "true".into());
    }
    if let (Some(name), Some(wanted)) = (role.aggregates, wanted.as_object_mut()) {
        // Its rules are the aggregation's to write.
        wanted.remove("rules");
        let selector = json!({ "matchLabels": { label(name): "true" } });
        wanted.insert("aggregationRule".to_owned(), json!({ "clusterRoleSelectors": [selector] }));
    }
    put(cluster, CLUSTER_ROLES, role.name, wanted, |found, wanted| {
        if let Some(rule) = wanted.get("aggregationRule") {
            found.insert("aggregationRule".to_owned(), rule.clone());
            return;
        }
        let missing = cover::missing(&rules_of(found), &rules_of(wanted)).rules;
        if missing.is_empty() {
            return;
        }
        let rules: Vec<Value> = rules_of(found).iter().chain(&missing).map(Rule::json).collect();
        found.insert("rules".to_owned(), rules.into());
    })
}

fn reconcile_binding(cluster: &Cluster, role: &str, groups: &[&str]) -> Result<(), ApiError> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({ "kind": "Group", "apiGroup": GROUP, "name": group })).collect();
    let wanted = json!({ "metadata": metadata(role), "subjects": subjects,
        "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role } });
    let key = Key::new("", role);
    if let Some(found) = cluster.store.get(CLUSTER_ROLE_BINDINGS, &key)
        && updates(&found.json)
        && found.json.get("roleRef") != wanted.get("roleRef")
    {
        // A binding keeps its role: to have another one it has to be another binding.
        let write = write_of(cluster, CLUSTER_ROLE_BINDINGS, key.clone(), MANAGER)?;
        delete::delete(cluster, &write.kind, &key, &DeleteOptions::default())?;
    }
    put(cluster, CLUSTER_ROLE_BINDINGS, role, wanted, |found, wanted| {
        let list = |json: &Json| json.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut subjects = list(found);
        for subject in list(wanted) {
            if !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
        found.insert("subjects".to_owned(), subjects.into());
    })
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
        "annotations": { AUTO_UPDATE: "true" } })
}

fn updates(json: &Json) -> bool {
    object::text(json, &["metadata", "annotations", AUTO_UPDATE]) != "false"
}

/// Creates an object, or has `complete` add to the one that is there what it lacks.
fn put(
    cluster: &Cluster,
    storage: &str,
    name: &str,
    wanted: Value,
    complete: impl Fn(&mut Json, &Json),
) -> Result<(), ApiError> {
    let wanted = wanted.as_object().cloned().unwrap_or_default();
    let key = Key::new("", name);
    let write = write_of(cluster, storage, key.clone(), MANAGER)?;
    if cluster.store.get(storage, &key).is_none() {
        return write::create(cluster, &write, wanted).map(|_| ());
    }
    let changed = write::change(cluster, &write, |found| {
        let mut json = found.clone();
        if updates(found) {
            for field in ["labels", "annotations"] {
                for (key, value) in
                    object::meta(&wanted, field).and_then(Value::as_object).into_iter().flatten()
                {
                    object::set(&mut json, &["metadata", field, key], value.clone());
                }
            }
            complete(&mut json, &wanted);
        }
        Ok(json)
    });
    changed.map(|_| ())
}
