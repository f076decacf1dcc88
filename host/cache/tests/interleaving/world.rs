//! What the tests are made of: objects, an informer without a reflector, and a handler that believes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use serde_json::json;
use tokio::task::AbortHandle;
use wheelhouse_core::{Fields, Key, Kind, Object, Scope};

use crate::fifo::{Cause, Delta};
use crate::informer::Informer;
use crate::leases::Lease;
use crate::sink::Sink;

/// `a@3` is the object `a` at version 3; `a'@3` has another UID. `a@3/db` has a label, else "web"; and `a@3!`
/// differs from `a@2!` in its status alone.
pub(crate) fn object(text: &str) -> Object {
    let (text, quiet) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
    let (text, app) = text.split_once('/').unwrap_or((text, "web"));
    let (uid, version) = text.split_once('@').unwrap();
    let spec = if quiet { "0" } else { version };
    // Of two owners, by turns.
    let owner = format!("o{}", spec.parse::<u64>().unwrap() % 2);
    Object::from_value(&json!({
        "metadata": {
            "namespace": "n", "name": uid.trim_end_matches('\''), "uid": uid, "resourceVersion": version,
            "labels": {"app": app},
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"a": spec, "b": spec},
        "status": version,
    }))
    .unwrap()
}

pub(crate) fn objects(texts: &[&str]) -> Vec<Object> {
    texts.iter().map(|text| object(text)).collect()
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("n", name)
}

pub(crate) fn version(object: &Object) -> u64 {
    object.resource_version().parse().unwrap()
}

pub(crate) fn sink(fields: &Fields) -> Arc<Sink> {
    let kind: Kind = "v1/ConfigMap".parse().unwrap();
    Arc::new(Sink::new(&kind, &Scope::default(), fields))
}

/// A handle whose reflector is the test.
pub(crate) fn informer(sink: &Arc<Sink>, fields: &Fields) -> Informer {
    static NO_TASK: LazyLock<AbortHandle> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.spawn(std::future::ready(())).abort_handle()
    });
    Informer::new(Arc::clone(sink), Lease::new(sink, fields), None, NO_TASK.clone())
}

/// A handler: what it was told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) known: BTreeMap<String, Object>,
    initial: BTreeSet<String>,
}

impl Told {
    /// Takes a change, which must begin where the one before it ended.
    pub(crate) fn take(&mut self, delta: &Delta) {
        let name = delta.key.name.clone();
        let of = |object: &Object| (object.uid().to_owned(), version(object));
        let (known, old) = (self.known.get(&name).map(of), delta.old.as_ref().map(of));
        match &delta.new {
            Some(new) => {
                assert_eq!(old, known, "{name}: what was told is not what changes now");
                if let Some((uid, known)) = known {
                    assert_eq!(uid, new.uid(), "{name}: it was not told that the one before is gone");
                    assert!(known <= version(new), "{name} goes back in time");
                }
                self.known.insert(name.clone(), new.clone());
            }
            None => {
                // What came and went unseen is told, too.
                let (uid, last) = old.expect("a deletion is of something");
                if let Some((known, version)) = known {
                    assert!(known == uid && version <= last, "{name}: another one is gone");
                }
                self.known.remove(&name);
            }
        }
        match delta.cause {
            Cause::Initial => assert!(
                delta.old.is_none() && delta.new.is_some() && self.initial.insert(name.clone()),
                "{name} is no initial object"
            ),
            Cause::Resync => assert_eq!(delta.new, delta.old, "{name}: nothing had happened"),
            Cause::Live => {}
        }
    }

    /// What it believes to be there.
    pub(crate) fn all(&self) -> Vec<String> {
        self.known.values().map(|object| format!("{}@{}", object.uid(), version(object))).collect()
    }
}
