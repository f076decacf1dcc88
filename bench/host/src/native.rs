//! The same reads without a sandbox: what a controller in native Rust pays.

use k8s_openapi::api::core::v1::Pod;
use wheelhouse_cache::{Query, Snapshot};
use wheelhouse_core::{Object, Value};

use crate::samples::Samples;
use crate::world::{World, pod_json, pod_key};

/// What a reader wants to know of a Pod, and no more.
#[derive(serde::Deserialize)]
struct FourFields {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(serde::Deserialize)]
struct Metadata {
    name: String,
    labels: Labels,
}

#[derive(serde::Deserialize)]
struct Labels {
    app: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: String,
}

#[derive(serde::Deserialize)]
struct Status {
    phase: String,
}

impl FourFields {
    fn len(&self) -> usize {
        let Self { metadata, spec, status } = self;
        metadata.name.len() + metadata.labels.app.len() + spec.node_name.len() + status.phase.len()
    }
}

/// The guest's `four_fields`.
fn four_fields(pod: Value<'_>) -> usize {
    let text = |fields: &[&str]| pod.at(fields).and_then(Value::as_str).map_or(0, str::len);
    text(&["metadata", "name"])
        + text(&["spec", "nodeName"])
        + text(&["status", "phase"])
        + text(&["metadata", "labels", "app"])
}

/// Native figures, measured a round at a time.
pub(crate) struct Native {
    json: Vec<String>,
    typed: Vec<Pod>,
    pub(crate) parse_typed: Samples,
    pub(crate) parse_fields: Samples,
    pub(crate) clone_typed: Samples,
    pub(crate) store_fields: Samples,
    pub(crate) store_typed: Samples,
    pub(crate) list_parse_typed: Samples,
    pub(crate) list_clone_typed: Samples,
    pub(crate) list_store_fields: Samples,
}

fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_slice(json.as_bytes()).ok()
}

fn page(now: &Snapshot) -> Vec<Object> {
    now.list(&Query::default()).map(|page| page.objects).unwrap_or_default()
}

impl Native {
    /// Over as many Pods as the small world has.
    pub(crate) fn new(pods: usize) -> anyhow::Result<Self> {
        let json: Vec<String> = (0..pods).map(|number| pod_json(number, pods)).collect();
        let typed = json.iter().map(|json| serde_json::from_str(json)).collect::<Result<_, _>>()?;
        anyhow::ensure!(
            json.iter().all(|json| parse::<FourFields>(json).is_some_and(|pod| pod.len() > 0)),
            "the four fields are not in the Pod"
        );
        Ok(Self {
            json,
            typed,
            parse_typed: Samples::default(),
            parse_fields: Samples::default(),
            clone_typed: Samples::default(),
            store_fields: Samples::default(),
            store_typed: Samples::default(),
            list_parse_typed: Samples::default(),
            list_clone_typed: Samples::default(),
            list_store_fields: Samples::default(),
        })
    }

    /// `gets` and `lists` more times of each.
    pub(crate) fn measure(&mut self, world: &World, gets: usize, lists: usize) {
        let Self { json, typed, .. } = self;
        let store = world.informer.store();
        let number = |time: usize| time * 7919 % world.pods;
        let text = |time: usize| json.get(number(time)).map_or("", String::as_str);
        let keys: Vec<_> = (0..gets.min(world.pods)).map(|time| pod_key(number(time))).collect();
        let stored = |time: usize| keys.get(time % keys.len().max(1)).and_then(|key| store.get(key));

        self.parse_typed.time(gets, |time| parse::<Pod>(text(time)));
        self.parse_fields.time(gets, |time| parse::<FourFields>(text(time)).map(|pod| pod.len()));
        self.clone_typed.time(gets, |time| typed.get(number(time)).cloned());
        self.store_fields.time(gets, |time| stored(time).map(|pod| four_fields(pod.value())));
        self.store_typed.time(gets, |time| stored(time).and_then(|pod| pod.to::<Pod>().ok()));

        self.list_parse_typed.time(lists, |_| {
            json.iter().map(|json| usize::from(parse::<Pod>(json).is_some())).sum::<usize>()
        });
        self.list_clone_typed.time(lists, |_| typed.clone());
        self.list_store_fields.time(lists, |_| {
            let pods = page(&store.snapshot());
            pods.iter().map(|pod| four_fields(pod.value())).sum::<usize>()
        });
    }
}
