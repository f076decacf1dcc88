//! PriorityClasses: two that every cluster has, what others may not be, and which one is for Pods that name none.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json, Object};
use crate::store::{Key, Store};
use crate::write::{self, Write};

pub(super) const STORAGE: &str = "priorityclasses.scheduling.k8s.io";
/// What is meant by a class that does not say whether its Pods drive out others.
pub(crate) const POLICY: &str = "PreemptLowerPriority";
/// The values above are for the server's own classes, which have names that begin so.
const HIGHEST: i64 = 1_000_000_000;
const PREFIX: &str = "system-";
const SYSTEM: [(&str, i64, &str); 2] = [
    ("system-node-critical", 2_000_001_000, "For Pods that a node cannot do without."),
    (
        "system-cluster-critical",
        2_000_000_000,
        "For Pods that the cluster cannot do without, on whichever node.",
    ),
];

/// Makes the classes that every cluster has, if they are not there.
pub(crate) fn prepare(cluster: &Cluster) {
    let Some(kind) = cluster.registry.served().find("scheduling.k8s.io", "v1", "priorityclasses") else {
        return;
    };
    for (name, value, description) in SYSTEM {
        let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": name }, "value": value, "description": description });
        let write = Write::by(kind.clone(), Key::new("", name), "wheelhouse-devcluster", "");
        match write::create(cluster, &write, class.as_object().cloned().unwrap_or_default()) {
            Err(error) if error.reason != "AlreadyExists" => {
                tracing::error!(%error, name, "cannot create a priority class");
            }
            _ => {}
        }
    }
}

/// The class for Pods that name none, if there is one: of several that of the lowest value.
pub(super) fn usual(store: &Store) -> Option<Arc<Object>> {
    let classes = store.list_all(STORAGE).into_iter();
    let usual = classes.filter(|class| class.json.get("globalDefault") == Some(&Value::Bool(true)));
    usual.min_by_key(|class| value(&class.json))
}

fn value(class: &Json) -> i64 {
    class.get("value").and_then(Value::as_i64).unwrap_or_default()
}

/// Refuses a class that takes what is the server's, and a second one for Pods that name none.
pub(super) fn check(store: &Store, kind: &Kind, json: &Json) -> Result<(), ApiError> {
    let (name, value) = (object::name(json), value(json));
    let is_usual = json.get("globalDefault") == Some(&Value::Bool(true));
    let cause = match name.starts_with(PREFIX).then(|| unknown(name, value, is_usual)) {
        Some(why) => why.map(|why| {
            let reserved =
                format!("priority class names with '{PREFIX}' prefix are reserved for system use only.");
            Cause::forbidden("metadata.name", &format!("{reserved} error: {why}"))
        }),
        None => (value > HIGHEST).then(|| {
            let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            Cause::forbidden("value", &why)
        }),
    };
    if let Some(cause) = cause {
        return Err(ApiError::invalid(kind, name, &[cause]));
    }
    match usual(store).filter(|other| is_usual && object::name(&other.json) != name) {
        Some(other) => {
            let why = "is already marked as default. Only one default can exist";
            let why = format!("PriorityClass {} {why}", object::name(&other.json));
            Err(ApiError::forbidden(kind, name, &why))
        }
        None => Ok(()),
    }
}

/// Why a class is none of the server's own.
fn unknown(name: &str, value: i64, is_usual: bool) -> Option<String> {
    match SYSTEM.iter().find(|(known, ..)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, expected, _)) if *expected != value => {
            Some(format!("value of {name} PriorityClass must be {expected}"))
        }
        Some(_) => is_usual.then(|| format!("globalDefault of {name} PriorityClass must be false")),
    }
}
