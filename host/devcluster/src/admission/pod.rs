//! What admission makes of a Pod before it is judged: how urgent it is, as whom it acts, and how long it puts up with a node
//! that is not there.
//!
//! Follows the admission plugins `Priority`, `DefaultTolerationSeconds` and, where namespaces have a ServiceAccount
//! `default`, `ServiceAccount`, which refuses what is not there and mounts nothing here.

use serde_json::{Value, json};

use super::priority_class;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{self, Json};
use crate::store::Key;
use crate::write::Write;

const ACCOUNTS: &str = "serviceaccounts";
/// What a Pod puts up with for a while, unless it says otherwise.
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: u16 = 300;

/// Fills in a Pod, or refuses it; `old` is the live one of an update.
pub(super) fn admit(
    cluster: &Cluster,
    write: &Write,
    json: &mut Json,
    old: Option<&Json>,
) -> Result<(), ApiError> {
    if !write.writer.subresource.is_empty() {
        return Ok(());
    }
    match old {
        Some(old) => keep_priority(json, old),
        None => {
            rank(cluster, json).map_err(|why| ApiError::forbidden(&write.kind, object::name(json), &why))?;
            if !cluster.access.is_open() {
                let named = account(cluster, &write.key.namespace, json);
                named.map_err(|why| ApiError::forbidden(&write.kind, object::name(json), &why))?;
            }
        }
    }
    tolerate(json);
    Ok(())
}

fn keep_priority(json: &mut Json, old: &Json) {
    for field in ["priority", "preemptionPolicy"] {
        let path = &["spec", field];
        if let (None, Some(before)) = (object::at(json, path), object::at(old, path)) {
            object::set(json, path, before.clone());
        }
    }
}

/// Gives a new Pod the priority of its class, or of the one that is for those without.
fn rank(cluster: &Cluster, json: &mut Json) -> Result<(), String> {
    let class = match object::text(json, &["spec", "priorityClassName"]) {
        "" => priority_class::usual(&cluster.store),
        name => {
            let class = cluster.store.get(priority_class::STORAGE, &Key::new("", name));
            Some(class.ok_or_else(|| format!("no PriorityClass with name {name} was found"))?)
        }
    };
    let of_class = |field: &str| class.as_ref().and_then(|class| class.json.get(field)).cloned();
    let priority = of_class("value").unwrap_or_else(|| 0.into());
    if let Some(given) = object::at(json, &["spec", "priority"]).filter(|given| **given != priority) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        ));
    }
    let policy = of_class("preemptionPolicy").unwrap_or_else(|| priority_class::POLICY.into());
    if let Some(given) = object::at(json, &["spec", "preemptionPolicy"]).filter(|given| **given != policy) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        return Err(format!(
            "the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission controller \
             computed {} from the given PriorityClass name",
            text(given),
            text(&policy)
        ));
    }
    if let Some(class) = &class {
        object::set(json, &["spec", "priorityClassName"], object::name(&class.json).into());
    }
    object::set(json, &["spec", "priority"], priority);
    object::set(json, &["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// Names the ServiceAccount of a new Pod, which must be there. That called `default` may still be on its way.
fn account(cluster: &Cluster, namespace: &str, json: &mut Json) -> Result<(), String> {
    const DEFAULT: &str = "default";
    let named = ["serviceAccountName", "serviceAccount"].map(|field| object::text(json, &["spec", field]));
    let name = named.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT).to_owned();
    if name != DEFAULT && cluster.store.get(ACCOUNTS, &Key::new(namespace, &name)).is_none() {
        return Err(format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        ));
    }
    object::set(json, &["spec", "serviceAccount"], name.clone().into());
    object::set(json, &["spec", "serviceAccountName"], name.into());
    Ok(())
}

fn tolerate(json: &mut Json) {
    let mut tolerations = object::items(json, &["spec", "tolerations"]).to_vec();
    let count = tolerations.len();
    for taint in TAINTS {
        let is_meant = |toleration: &Value| {
            let (key, effect) = (object::field(toleration, "key"), object::field(toleration, "effect"));
            (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
        };
        if !tolerations.iter().any(is_meant) {
            tolerations.push(json!({ "key": taint, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": SECONDS }));
        }
    }
    if tolerations.len() > count {
        object::set(json, &["spec", "tolerations"], Value::Array(tolerations));
    }
}
