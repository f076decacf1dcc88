//! Notes on every Service that asks for them: how many Pods it selects, and the message of the
//! ConfigMap that it names.
//!
//! Which ConfigMap and which Pods those are stands in each Service, so there is nothing that could be
//! declared as a mapping. The plugin tracks its dependencies instead: the host remembers what the
//! reconcile of a Service has read, or has looked for in vain, and runs it again when that changes.

use serde_json::json;
use wheelhouse_sdk::prelude::*;

const SERVICE: &str = "v1/Service";
const CONFIG_MAP: &str = "v1/ConfigMap";
const POD: &str = "v1/Pod";

/// The name of a ConfigMap in the Service's namespace; without it a Service gets no notes.
const FROM: &str = "examples.wheelhouse.dev/message-from";
const MESSAGE: &str = "examples.wheelhouse.dev/message";
const PODS: &str = "examples.wheelhouse.dev/pods";

#[derive(serde::Deserialize)]
struct ServiceNotes {}

/// How many Pods the Service's selector selects; none if it has no selector.
fn pods(service: &Object) -> Result<u64> {
    let labels = service.value().at(&["spec", "selector"]);
    let labels = labels.into_iter().flat_map(|labels| labels.entries());
    let equalities = labels.filter_map(|(label, value)| Some(format!("{label}={}", value.as_str()?)));
    let selector = equalities.collect::<Vec<_>>().join(",");
    if selector.is_empty() {
        return Ok(0);
    }
    Ok(objects::list(POD).in_namespace(service.namespace()).labelled(selector).count()?)
}

impl Reconciler for ServiceNotes {
    fn describe(&self) -> Spec {
        Spec::new("service-notes", env!("CARGO_PKG_VERSION"))
            .reconciles(Source::of(SERVICE).with_fields(["spec.selector"]))
            .caches(Source::of(CONFIG_MAP).with_fields(["data.message"]))
            .caches(Source::of(POD).with_fields(["metadata"]))
            .needs(Permission::to([Verb::Patch], SERVICE))
            .tracking_dependencies()
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let Some(service) = objects::get(SERVICE, &request.key)? else {
            return Ok(Outcome::Done); // It is gone.
        };
        let Some(name) = service.annotation(FROM) else {
            return Ok(Outcome::Done);
        };
        let named = objects::get(CONFIG_MAP, &ObjectKey::new(service.namespace(), name))?;
        let message = named.as_ref().and_then(|map| map.text(&["data", "message"]));
        let pods = pods(&service)?.to_string();
        if service.annotation(MESSAGE) != message || service.annotation(PODS) != Some(&pods) {
            info!("noting on {}: {pods} Pods", request.key);
            // A null takes the annotation away.
            let patch = json!({"metadata": {"annotations": {MESSAGE: message, PODS: pods}}});
            client::merge_patch(SERVICE, &request.key, &patch).send()?;
        }
        Ok(Outcome::Done)
    }
}

wheelhouse_sdk::export!(ServiceNotes);
