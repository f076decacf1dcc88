//! For every Node, the Pods on it, counted by phase into a ConfigMap.
//!
//! Pods are found by a field index, and read in place: nothing is parsed. The host maps a Pod's
//! change to the Node that it is on, and to the one that it was on.

use std::collections::BTreeMap;

use serde_json::json;
use wheelhouse_sdk::prelude::*;

const NODE: &str = "v1/Node";
const POD: &str = "v1/Pod";
const CONFIG_MAP: &str = "v1/ConfigMap";

const NODE_NAME: &str = ".spec.nodeName";
const PHASE: &str = ".status.phase";
const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NodeCensus {
    /// Where the ConfigMaps go.
    namespace: String,
}

impl Default for NodeCensus {
    fn default() -> Self {
        Self { namespace: "default".to_owned() }
    }
}

impl Reconciler for NodeCensus {
    fn describe(&self) -> Spec {
        let namespaces = [&self.namespace];
        Spec::new("node-census", env!("CARGO_PKG_VERSION"))
            // A Node's status changes every few seconds, and does not matter here.
            .reconciles(Source::of(NODE).with_fields(["metadata"]).when(Predicate::generation_changed()))
            .owns(Source::of(CONFIG_MAP).in_namespaces(namespaces))
            // Of a Pod, all that is read and kept is its phase, and the Node by which it is mapped.
            .watches(Watch::of(Source::of(POD).with_fields([PHASE])).by_field(NODE_NAME))
            .indexes(Index::field(POD, NODE_NAME))
            .needs(
                Permission::to([Verb::Create, Verb::Patch, Verb::Delete], CONFIG_MAP)
                    .in_namespaces(namespaces),
            )
            .concurrency(2)
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let key = ObjectKey::new(&self.namespace, format!("node-census-{}", request.key.name));
        let known = objects::get(CONFIG_MAP, &key)?;

        let Some(node) = objects::get(NODE, &request.key)? else {
            if let Some(known) = known {
                info!("{} is gone, and so is its census", request.key.name);
                client::delete(CONFIG_MAP, &key).uid(known.uid()).send().optional()?;
            }
            return Ok(Outcome::Done);
        };

        let census = count(objects::list(POD).matching(NODE_NAME, node.name()))?;
        if known.is_some_and(|known| is_of(&known, &node, &census)) {
            return Ok(Outcome::Done);
        }
        info!("the census of {} has changed: {census:?}", node.name());
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": {"app.kubernetes.io/managed-by": "node-census"},
                "ownerReferences": [OwnerReference::controller(NODE, &node)],
            },
            "data": census,
        });
        client::apply(CONFIG_MAP, &config_map).force().send()?;
        Ok(Outcome::Done)
    }
}

wheelhouse_sdk::export!(NodeCensus);

/// The ConfigMap's data: how many Pods there are, and how many in each phase.
type Census = BTreeMap<String, String>;

fn count(pods: impl IntoIterator<Item = Result<Object, ApiError>>) -> Result<Census> {
    let mut total = 0;
    let mut phases = PHASES.map(|phase| (phase, 0));
    for pod in pods {
        let pod = pod?;
        let phase = pod.text(&["status", "phase"]).unwrap_or("Unknown");
        total += 1;
        if let Some((_, count)) = phases.iter_mut().find(|(name, _)| *name == phase) {
            *count += 1;
        }
    }
    let phases = phases.iter().map(|(phase, count)| (phase.to_lowercase(), count.to_string()));
    Ok(phases.chain([("pods".to_owned(), total.to_string())]).collect())
}

/// Whether a ConfigMap is this Node's, and not one's that had its name before, and says the same.
fn is_of(known: &Object, node: &Object, census: &Census) -> bool {
    let data = known.at(&["data"]).and_then(|data| data.to::<Census>().ok());
    known.is_controlled_by(node) && data.as_ref() == Some(census)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn object(value: Value) -> Object {
        Object::from_json(&value).unwrap()
    }

    fn census_of(phases: &[Value]) -> Census {
        count(phases.iter().map(|phase| Ok(object(json!({"status": {"phase": phase}}))))).unwrap()
    }

    #[test]
    fn pods_are_counted_by_phase_and_every_phase_is_told() {
        let census = census_of(&[json!("Running"), json!("Running"), json!("Pending"), json!(null)]);
        let expected = json!({
            "pods": "4", "pending": "1", "running": "2", "succeeded": "0", "failed": "0", "unknown": "1",
        });
        assert_eq!(json!(census), expected);
    }

    #[test]
    fn a_census_that_says_the_same_is_left_alone() {
        let node = |uid| object(json!({"metadata": {"name": "n", "uid": uid}}));
        let census = census_of(&[json!("Running")]);
        let known = object(
            json!({"metadata": {"ownerReferences": [{"uid": "a", "controller": true}]}, "data": census}),
        );
        assert!(is_of(&known, &node("a"), &census));
        assert!(!is_of(&known, &node("b"), &census), "another Node of that name");
        assert!(!is_of(&known, &node("a"), &census_of(&[json!("Failed")])));
        assert!(!is_of(&object(json!({})), &node("a"), &census));
    }
}
