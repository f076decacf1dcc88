//! Every function that a plugin can call asks the gate: the contract itself says which there are, and one
//! that this file knows nothing of fails its test.
#![cfg(test)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Object, Outcome, Permitted};
use wheelhouse_sandbox::{Compiled, RevisionSetup};
use wit_parser::{Resolve, SourceMap, WorldItem, WorldKey};

use crate::support::{Neighbour, compiled};

/// What there is to know of a function.
enum Door {
    /// It takes a permission: what `examples/hostile` calls it by (the name of an object), and what the
    /// cluster is asked once the gate lets it through.
    Asks { attack: &'static str, asked: &'static str },
    /// It takes none, for this reason.
    Free(&'static str),
}

use Door::{Asks, Free};

const OWN_METRICS: &str = "they are under the plugin's own name, and as many as metricSeries says";

/// By interface and function.
const DOORS: &[(&str, &str, Door)] = &[
    ("objects", "get", Asks { attack: "undeclared-kind", asked: "get v1/Secret default/x" }),
    ("objects", "list", Asks { attack: "undeclared-list", asked: "list v1/Secret" }),
    ("objects", "count", Asks { attack: "all-namespaces", asked: "count v1/ConfigMap" }),
    ("objects", "synced", Asks { attack: "undeclared-synced", asked: "synced v1/Secret" }),
    ("objects", "wait-synced", Asks { attack: "undeclared-wait", asked: "wait-synced v1/Secret" }),
    ("client", "get-live", Asks { attack: "undeclared-live", asked: "get-live v1/Secret default/x" }),
    (
        "client",
        "create",
        Asks { attack: "other-namespace-in-object", asked: "create v1/ConfigMap kube-system/x" },
    ),
    ("client", "update", Asks { attack: "undeclared-update", asked: "update v1/ConfigMap default/x" }),
    (
        "client",
        "patch",
        Asks {
            attack: "undeclared-subresource",
            asked: "patch v1/ConfigMap/status default/undeclared-subresource",
        },
    ),
    ("client", "apply", Asks { attack: "undeclared-apply", asked: "patch v1/Secret default/x" }),
    (
        "client",
        "delete",
        Asks { attack: "undeclared-verb", asked: "delete v1/ConfigMap default/undeclared-verb" },
    ),
    ("events", "record", Asks { attack: "undeclared-event", asked: "record v1/Secret default/x" }),
    ("metrics", "describe", Free(OWN_METRICS)),
    ("metrics", "counter-add", Free(OWN_METRICS)),
    ("metrics", "gauge-set", Free(OWN_METRICS)),
    ("metrics", "histogram-observe", Free(OWN_METRICS)),
    ("metrics", "remove", Free(OWN_METRICS)),
    ("logging", "enabled", Free("it says what the host's log keeps, and nothing of the cluster")),
    ("logging", "log", Free("it writes to the host's log, in lines that bear the plugin's name")),
    ("config", "get", Free("it is the plugin's own configuration")),
];

/// A cluster that has nothing, and remembers what it was asked.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl ClusterAccess for Recorder {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("get {} {}", request.kind, request.key));
        Box::pin(async { Ok(None) })
    }
    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        self.note(format!("list {}", request.kind));
        Box::pin(async { Ok(Page { objects: Vec::new(), more_after: None, unreadable: Vec::new() }) })
    }
    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        self.note(format!("count {}", request.kind));
        Box::pin(async { Ok(0) })
    }
    fn synced(&self, request: Permitted<Synced>) -> bool {
        self.note(format!("synced {}", request.kind));
        false
    }
    fn wait_synced(&self, request: Permitted<Synced>, _: Duration) -> BoxFuture<'_, bool> {
        self.note(format!("wait-synced {}", request.kind));
        Box::pin(async { false })
    }
    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("get-live {} {}", request.kind, request.key));
        Box::pin(async { Ok(None) })
    }
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        let Write { kind, key, subresource, change, .. } = &*request;
        let slash = if subresource.is_empty() { "" } else { "/" };
        self.note(format!("{} {kind}{slash}{subresource} {key}", change.verb()));
        Box::pin(async { Ok(None) })
    }
    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        let regarding = &request.event().regarding;
        self.note(format!("record {} {}", regarding.kind, regarding.key));
        Box::pin(async { Ok(()) })
    }
}

/// Every function of every interface that a plugin may import.
fn functions() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let mut sources = SourceMap::new();
    for file in files {
        sources.push_str(file.to_str().unwrap(), std::fs::read_to_string(&file).unwrap());
    }
    let group = sources.parse().unwrap_or_else(|(_, error)| panic!("{error:?}"));
    let mut resolve = Resolve::new();
    let package = resolve.push_group(group).unwrap_or_else(|error| panic!("{error:?}"));
    let world = &resolve.worlds[resolve.packages[package].worlds["plugin"]];
    let mut functions = Vec::new();
    for (key, item) in &world.imports {
        match (key, item) {
            (_, WorldItem::Interface { id, .. }) => {
                let interface = &resolve.interfaces[*id];
                let name = interface.name.clone().unwrap();
                functions.extend(interface.functions.keys().map(|function| (name.clone(), function.clone())));
            }
            (WorldKey::Name(name), WorldItem::Function(_)) => functions.push((String::new(), name.clone())),
            _ => {}
        }
    }
    functions
}

#[test]
fn every_function_of_the_contract_is_known_here() {
    let functions = functions();
    assert!(functions.len() >= 14, "{functions:?}");
    for (interface, function) in &functions {
        assert!(
            DOORS.iter().any(|(i, f, _)| (i, f) == (&interface.as_str(), &function.as_str())),
            "nothing is known of the import {interface}.{function}: let examples/hostile call it without \
             permission, and add to DOORS by which name, and what the cluster is asked if it is permitted \
             (or, if it takes no permission, why)"
        );
    }
    for (interface, function, door) in DOORS {
        let there = functions.iter().any(|(i, f)| (i.as_str(), f.as_str()) == (*interface, *function));
        assert!(there, "the contract has no import {interface}.{function}: take it out of DOORS");
        if let Free(reason) = door {
            assert!(!reason.is_empty(), "{interface}.{function}");
        }
    }
}

/// What becomes of an attack beside a neighbour, and what the cluster is asked for it.
async fn attack(compiled: &Compiled, attack: &str, gate: Gate) -> (String, Vec<String>) {
    let spec = Arc::new(compiled.describe("{}", &Limits::default()).await.unwrap());
    let cluster = Arc::new(Recorder::default());
    let limits = Limits::default();
    let revision = Arc::new(compiled.start(RevisionSetup {
        gate: Arc::new(gate),
        spec,
        config: "{}".into(),
        cluster: Arc::clone(&cluster) as Arc<_>,
        usage: Arc::new(Usage::new(&limits)),
        metrics: Arc::default(),
        limits,
    }));
    let attacking = support::reconcile(&revision, attack);
    let outcome = match Neighbour::of(compiled).await.beside(attacking).await {
        Ok(Outcome::Terminal(text)) => text,
        other => panic!("{attack}: {other:?}"),
    };
    let asked = cluster.0.lock().unwrap().clone();
    (outcome, asked)
}

fn all_of(kinds: &[&str]) -> Vec<Permission> {
    let of = |(kind, subresource): (&str, &str)| Permission {
        verbs: Verb::ALL.to_vec(),
        kind: kind.parse().unwrap(),
        subresource: subresource.to_owned(),
        namespaces: Vec::new(),
    };
    kinds.iter().flat_map(|kind| ["", "status"].map(|subresource| (*kind, subresource))).map(of).collect()
}

#[tokio::test]
async fn hostile_every_door_asks_the_gate() {
    let compiled = compiled().await;
    for (interface, function, door) in DOORS {
        let Asks { attack: name, asked } = door else { continue };
        let door = format!("{interface}.{function} ({name})");
        let all = || all_of(&["v1/Secret", "v1/ConfigMap", "events.k8s.io/v1/Event"]);
        for (gate, why) in [
            (Gate::closed("hostile"), "the permission is not declared"),
            (Gate::new("hostile", all(), Arc::default()), "the permission is declared, and not granted"),
        ] {
            let (outcome, reached) = attack(&compiled, name, gate).await;
            assert!(outcome.contains("plugin hostile may not") && outcome.contains(why), "{door}: {outcome}");
            assert_eq!(reached, [""; 0], "{door} gets through a gate that is closed");
        }
        // And the attack is one on this very door.
        let (outcome, reached) = attack(&compiled, name, Gate::granting("hostile", all())).await;
        assert!(!outcome.contains("may not"), "{door}: {outcome}");
        assert_eq!(reached, [*asked], "{door}");
    }
}
