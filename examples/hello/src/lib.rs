//! The first plugin: it greets every ConfigMap that is labelled `hello=world`.

use serde_json::json;
use wheelhouse_sdk::prelude::*;

const GREETING: &str = "examples.wheelhouse.dev/greeting";

#[derive(serde::Deserialize)]
struct Hello {}

impl Reconciler for Hello {
    fn describe(&self) -> Spec {
        Spec::new("hello", env!("CARGO_PKG_VERSION"))
            .reconciles(Source::of("v1/ConfigMap").labelled("hello=world"))
            .needs(Permission::to([Verb::Patch], "v1/ConfigMap"))
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let Some(object) = objects::get("v1/ConfigMap", &request.key)? else {
            return Ok(Outcome::Done); // It is gone.
        };
        let greeting = format!("Hello, {}!", object.name());
        if object.annotation(GREETING) != Some(&greeting) {
            info!("greeting {}", request.key);
            let patch = json!({"metadata": {"annotations": {GREETING: greeting}}});
            client::merge_patch("v1/ConfigMap", &request.key, &patch).send()?;
        }
        Ok(Outcome::Done)
    }
}

wheelhouse_sdk::export!(Hello);
