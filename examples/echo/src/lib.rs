//! A plugin whose configuration says what it listens to, and which logs what it is asked for: to find out
//! which changes a source, a predicate, a mapping or a tick leads to, before there is a reconciler for it.
//!
//! ```json
//! {
//!   "reconciles": {"kind": "v1/ConfigMap", "when": "created || field-changed(.data)"},
//!   "watches": [{"kind": "v1/Node", "byAnnotation": "example.com/config"}],
//!   "ticks": [{"everySeconds": 60, "keys": ["default/settings"]}]
//! }
//! ```
//!
//! It can also be told to fail some attempts or for good, to trap, to take its time, to be asked again, and to count in
//! the status of what it reconciles.

#![allow(clippy::disallowed_methods, reason = "it takes as long as its configuration says")]

use serde::Deserialize;
use serde_json::json;
use wheelhouse_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Echo {
    #[serde(default = "name")]
    name: String,
    #[serde(default = "config_maps")]
    reconciles: Listening,
    #[serde(default)]
    owns: Vec<Listening>,
    #[serde(default)]
    watches: Vec<Listening>,
    /// Indexes by field, which it has the host keep and makes no use of.
    #[serde(default)]
    indexes: Vec<Indexing>,
    #[serde(default)]
    ticks: Vec<Ticking>,
    /// How many attempts fail before one succeeds.
    #[serde(default)]
    failures: u32,
    /// Whether each reconcile traps.
    #[serde(default)]
    traps: bool,
    /// Whether what it reconciles fails for good.
    #[serde(default)]
    terminal: bool,
    /// How long a reconcile takes.
    #[serde(default)]
    takes_ms: u64,
    /// How long one may take.
    timeout_ms: Option<u64>,
    /// After how long it is to be asked again of what it has done.
    again_after_ms: Option<u64>,
    /// How often it is to be asked of everything.
    resync_seconds: Option<u64>,
    /// A field of the status that is counted up in every reconcile.
    count_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listening {
    kind: String,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    fields: String,
    #[serde(default)]
    read: Vec<String>,
    when: Option<String>,
    /// Of what is owned.
    #[serde(default)]
    any_owner: bool,
    /// Of what is watched, one of the four. The last is an annotation that the plugin itself looks for, before and after
    /// the change.
    by_label: Option<String>,
    by_annotation: Option<String>,
    by_field: Option<String>,
    by_plugin: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Indexing {
    kind: String,
    field: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ticking {
    #[serde(default = "name")]
    name: String,
    every_seconds: u64,
    /// `namespace/name`, or `name` alone.
    keys: Vec<String>,
}

fn name() -> String {
    "echo".to_owned()
}

fn config_maps() -> Listening {
    Listening {
        kind: "v1/ConfigMap".to_owned(),
        namespaces: Vec::new(),
        labels: String::new(),
        fields: String::new(),
        read: Vec::new(),
        when: None,
        any_owner: false,
        by_label: None,
        by_annotation: None,
        by_field: None,
        by_plugin: None,
    }
}

impl Listening {
    fn source(&self) -> Source {
        let source = Source::of(&self.kind)
            .in_namespaces(&self.namespaces)
            .labelled(&self.labels)
            .where_field(&self.fields)
            .with_fields(&self.read);
        match &self.when {
            Some(when) => source.when(Predicate::expression(when)),
            None => source,
        }
    }

    fn watch(&self) -> Watch {
        let watch = Watch::of(self.source());
        if let Some(annotation) = &self.by_plugin {
            return watch.named(annotation);
        }
        match (&self.by_label, &self.by_annotation, &self.by_field) {
            (Some(label), ..) => watch.by_label(label),
            (_, Some(annotation), _) => watch.by_annotation(annotation),
            (.., Some(field)) => watch.by_field(field),
            _ => watch,
        }
    }
}

fn key(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    ObjectKey::new(namespace, name)
}

impl Reconciler for Echo {
    fn describe(&self) -> Spec {
        let mut spec = Spec::new(&self.name, env!("CARGO_PKG_VERSION")).reconciles(self.reconciles.source());
        for owned in &self.owns {
            let source = owned.source();
            spec = if owned.any_owner { spec.owns_any(source) } else { spec.owns(source) };
        }
        for watched in &self.watches {
            spec = spec.watches(watched.watch());
        }
        for index in &self.indexes {
            spec = spec.indexes(Index::field(&index.kind, &index.field));
        }
        for tick in &self.ticks {
            let every = Duration::from_secs(tick.every_seconds);
            spec = spec.ticks(&tick.name, every, tick.keys.iter().map(|text| key(text)));
        }
        if let Some(ms) = self.timeout_ms {
            spec = spec.timeout(Duration::from_millis(ms));
        }
        if let Some(seconds) = self.resync_seconds {
            spec = spec.resync(Duration::from_secs(seconds));
        }
        if self.count_in.is_some() {
            spec = spec.needs(Permission::to([Verb::Patch], &self.reconciles.kind).subresource("status"));
        }
        spec
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let Request { key, attempt, first_seen, .. } = request;
        let since = first_seen.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
        let object = objects::get(&self.reconciles.kind, key)?;
        let state = if object.is_some() { "there" } else { "absent" };
        info!("asked for {key}, which is {state}; attempt {attempt}, first seen at {since}");
        assert!(!self.traps, "on purpose");
        std::thread::sleep(Duration::from_millis(self.takes_ms));
        if self.terminal {
            return Err(Error::terminal("on purpose"));
        }
        if *attempt <= self.failures {
            return Err(ApiError::Unavailable("on purpose".into()).into());
        }
        if let (Some(field), Some(object)) = (&self.count_in, object) {
            let count = object.int(&["status", field]).unwrap_or_default() + 1;
            let status = json!({"status": {field: count}});
            client::merge_patch(&self.reconciles.kind, key, &status).subresource("status").send()?;
        }
        Ok(match self.again_after_ms {
            Some(ms) => Outcome::RequeueAfter(Duration::from_millis(ms)),
            None => Outcome::Done,
        })
    }

    fn map(&self, annotation: &str, event: &Event) -> Vec<ObjectKey> {
        event.states().filter_map(|object| object.annotation(annotation)).map(key).collect()
    }
}

wheelhouse_sdk::export!(Echo);
