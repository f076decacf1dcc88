//! A plugin that writes down when it reconciles: tests read who was at work when.
//!
//! Each reconcile of a ConfigMap in namespace `default` whose `data.value` is new creates two objects in
//! namespace `records`, one when it begins and one when it ends, and between them says in the ConfigMap's
//! annotations which value it saw. What the API server made of these, in the order of its resource versions,
//! is what happened: if two hosts reconcile one object at a time, their records interleave.

#![allow(clippy::disallowed_methods, reason = "it takes as long as its configuration says")]

use std::hash::{BuildHasher as _, RandomState};

use serde_json::json;
use wheelhouse_sdk::prelude::*;

const CONFIG_MAP: &str = "v1/ConfigMap";
const SEEN: &str = "examples.wheelhouse.dev/seen";

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Witness {
    /// Who runs it.
    host: String,
    /// How long a reconcile takes.
    pause_ms: u64,
    /// Whether it says who has seen a value, and looks again at what another one has seen.
    signs: bool,
    /// Whether each reconcile traps.
    traps: bool,
}

impl Default for Witness {
    fn default() -> Self {
        Self { host: "nobody".into(), pause_ms: 0, signs: false, traps: false }
    }
}

impl Witness {
    fn record(&self, request: &Request, run: &str, what: &str) -> Result<()> {
        let name = &request.key.name;
        let record = json!({
            "metadata": {"name": format!("{name}.{run}.{what}"), "namespace": "records"},
            "data": {"key": name, "host": self.host, "run": run, "what": what},
        });
        client::create(CONFIG_MAP, &record).send()?;
        Ok(())
    }
}

impl Reconciler for Witness {
    fn describe(&self) -> Spec {
        Spec::new("witness", env!("CARGO_PKG_VERSION"))
            .reconciles(Source::of(CONFIG_MAP).in_namespaces(["default"]))
            .needs(Permission::to([Verb::Patch], CONFIG_MAP).in_namespaces(["default"]))
            .needs(Permission::to([Verb::Create], CONFIG_MAP).in_namespaces(["records"]))
            .concurrency(4)
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let Some(object) = objects::get(CONFIG_MAP, &request.key)? else { return Ok(Outcome::Done) };
        let Some(value) = object.text(&["data", "value"]) else { return Ok(Outcome::Done) };
        let value = if self.signs { format!("{value} by {}", self.host) } else { value.to_owned() };
        if object.annotation(SEEN) == Some(&value) {
            return Ok(Outcome::Done);
        }
        assert!(!self.traps, "on purpose");
        let run = format!("{:x}", RandomState::new().hash_one(&request.key.name));
        self.record(request, &run, "begin")?;
        std::thread::sleep(std::time::Duration::from_millis(self.pause_ms));
        let seen = json!({"metadata": {"annotations": {SEEN: value}}});
        client::merge_patch(CONFIG_MAP, &request.key, &seen).send()?;
        self.record(request, &run, "end")?;
        Ok(Outcome::Done)
    }
}

wheelhouse_sdk::export!(Witness);
