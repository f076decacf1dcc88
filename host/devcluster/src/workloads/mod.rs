//! Stand-ins for the scheduler, the kubelet and the workload controllers, opt-in: no container runs, but
//! the objects go through the states that they have in a healthy cluster, each state in a write of its
//! own, so that an operator's readiness logic can be seen at work.
//!
//! Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs get their Pods; a Pod that a controller
//! owns is placed on the only Node, `dev`, unless that is cordoned or not selected, and becomes ready
//! there. A Pod that somebody made by hand is run if it names that node, and is otherwise left to whoever
//! made it. Claims are bound to volumes with nothing behind them, which no Pod waits for. CronJobs and
//! ReplicationControllers are left alone, and nothing takes time: `minReadySeconds`,
//! `progressDeadlineSeconds` and `ttlSecondsAfterFinished` have no effect.

mod act;
mod claim;
mod daemon_set;
mod deployment;
mod events;
mod failures;
mod job;
mod node;
mod pods;
mod provisioner;
mod replica_set;
mod revision;
mod rollout;
mod selector;
mod stateful_set;
mod status;
mod template;
mod volume_claims;

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::Cluster;
use crate::delete;
use crate::history::{Change, Event};
use crate::object::{self, Json};
use crate::store::{Extent, Key, Place};
pub(crate) use failures::Failures;

const PODS: &str = "pods";
const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const DEPLOYMENTS: &str = "deployments.apps";
const REPLICA_SETS: &str = "replicasets.apps";
const STATEFUL_SETS: &str = "statefulsets.apps";
const DAEMON_SETS: &str = "daemonsets.apps";
const JOBS: &str = "jobs.batch";
/// What owns Pods, and may adopt one.
const POD_OWNERS: &[&str] = &[REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS];

/// Works until the cluster is dropped, stops or cannot keep what is written.
pub(crate) async fn run(cluster: Arc<Cluster>, mut events: UnboundedReceiver<Arc<Event>>) {
    let mut stopping = cluster.stopping.subscribe();
    node::register(&cluster);
    loop {
        let first = tokio::select! {
            event = events.recv() => event,
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let Some(first) = first else { return };
        // What happened together is looked at once: a hundred new Pods are one change of their owner.
        let mut queue = Queue::default();
        queue.add(&cluster, &first);
        while let Ok(event) = events.try_recv() {
            queue.add(&cluster, &event);
        }
        for place in &queue.places {
            reconcile(&cluster, place);
            // Others are to be served meanwhile.
            tokio::task::yield_now().await;
            if *stopping.borrow() {
                return;
            }
        }
        if !cluster.store.kept(None).await {
            return;
        }
    }
}

/// What is to be looked at, each place once, in the order in which it came up.
#[derive(Default)]
struct Queue {
    places: Vec<Place>,
    known: HashSet<Place>,
}

impl Queue {
    fn push(&mut self, place: Place) {
        if self.known.insert(place.clone()) {
            self.places.push(place);
        }
    }

    fn add(&mut self, cluster: &Cluster, event: &Event) {
        if &*event.storage == node::NODES {
            return self.add_waiting(cluster);
        }
        if !is_ours(&event.storage) {
            return;
        }
        match event.change {
            Change::Deleted => {
                cluster.failures.forget(&event.object.json);
                if &*event.storage == CLAIMS {
                    self.push(provisioner::volume_of(&event.object.json));
                }
            }
            Change::Added | Change::Modified => self.push((event.storage.clone(), event.key.clone())),
        }
        let states = event.previous.iter().map(|previous| &previous.json).chain([&event.object.json]);
        for json in states {
            match claim::controller(json) {
                Some(uid) => {
                    if let Some((place, _)) = cluster.store.by_uid(uid) {
                        self.push(place);
                    }
                }
                None => self.add_adopters(cluster, event, json),
            }
        }
    }

    /// The Node may be another one now: for Pods that have no place, and for what has a Pod on each Node.
    fn add_waiting(&mut self, cluster: &Cluster) {
        let is_waiting = |pod: &Json| object::text(pod, &["spec", "nodeName"]).is_empty();
        let pods = cluster.store.list_all(PODS).into_iter().filter(|pod| is_waiting(&pod.json));
        pods.for_each(|pod| self.push((PODS.into(), Key::of(&pod.json))));
        let sets = cluster.store.list_all(DAEMON_SETS);
        sets.iter().for_each(|set| self.push((DAEMON_SETS.into(), Key::of(&set.json))));
    }

    /// An object that nobody controls may be just what somebody's selector looks for.
    fn add_adopters(&mut self, cluster: &Cluster, event: &Event, json: &Json) {
        let adopters: &[&str] = match &*event.storage {
            PODS => POD_OWNERS,
            REPLICA_SETS => &[DEPLOYMENTS],
            _ => return,
        };
        for storage in adopters {
            let extent = Extent { namespace: Some(object::namespace(json)), ..Extent::default() };
            let Ok(snapshot) = cluster.store.snapshot(storage, extent) else { continue };
            for owner in snapshot.objects.iter().filter(|owner| selector::selects(&owner.json, json)) {
                self.push(((*storage).into(), Key::of(&owner.json)));
            }
        }
    }
}

fn is_ours(storage: &str) -> bool {
    matches!(storage, PODS | DEPLOYMENTS | CLAIMS | VOLUMES) || POD_OWNERS.contains(&storage)
}

fn selects_its_own(workload: &Json) -> bool {
    let template = object::at(workload, &["spec", "template"]).and_then(serde_json::Value::as_object);
    template.is_some_and(|template| selector::selects(workload, template))
}

/// Brings an object one step closer to what it should be; the events of that bring the next step.
fn reconcile(cluster: &Cluster, place: &Place) {
    let Some(object) = cluster.store.get(&place.0, &place.1) else { return };
    // What is being deleted is the garbage collector's; a Pod is first the kubelet's, whatever its node is called.
    if object::is_deleting(&object.json) {
        if &*place.0 == PODS && delete::grace_of(&object.json) > 0 {
            pods::end(cluster, &place.1, &object.json);
        }
        return;
    }
    let subject = act::Subject { cluster, place, json: &object.json };
    match &*place.0 {
        PODS => pods::reconcile(&subject),
        CLAIMS => provisioner::bind(&subject),
        VOLUMES => provisioner::reclaim(&subject),
        // It would make Pods without end, none of which it has.
        _ if !selects_its_own(&object.json) => {}
        DEPLOYMENTS => deployment::reconcile(&subject),
        REPLICA_SETS => replica_set::reconcile(&subject),
        STATEFUL_SETS => stateful_set::reconcile(&subject),
        DAEMON_SETS => daemon_set::reconcile(&subject),
        JOBS => job::reconcile(&subject),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::write::{self, Write};

    fn cluster() -> Arc<Cluster> {
        let cluster = Cluster::open(None);
        create(&cluster, "namespaces", &json!({ "metadata": { "name": "default", "uid": "d" } }));
        cluster
    }

    fn create(cluster: &Cluster, storage: &str, json: &Value) -> Place {
        let json = json.as_object().unwrap();
        let place = (storage.into(), Key::of(json));
        cluster.store.create(&place.0, &place.1, json.clone(), false).unwrap();
        place
    }

    fn workload(storage: &str, spec: Value) -> Value {
        let (api_version, kind) = match storage {
            DEPLOYMENTS => ("apps/v1", "Deployment"),
            REPLICA_SETS => ("apps/v1", "ReplicaSet"),
            STATEFUL_SETS => ("apps/v1", "StatefulSet"),
            DAEMON_SETS => ("apps/v1", "DaemonSet"),
            _ => ("batch/v1", "Job"),
        };
        let mut json = json!({ "apiVersion": api_version, "kind": kind,
            "metadata": { "name": "a", "namespace": "default", "uid": "u" },
            "spec": { "selector": { "matchLabels": { "app": "a" } }, "template": {
                "metadata": { "labels": { "app": "a" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
        json["spec"].as_object_mut().unwrap().append(&mut spec.as_object().unwrap().clone());
        json
    }

    #[test]
    fn a_workload_that_does_not_select_what_it_makes_makes_nothing() {
        for storage in [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS] {
            let expression = json!({ "key": "app", "operator": "NotIn", "values": ["a"] });
            let own_hash = json!({ "matchLabels": { "app": "a", "pod-template-hash": "mine" } });
            for selector in [json!({}), json!({ "matchExpressions": [expression] }), own_hash] {
                let cluster = cluster();
                let place = create(&cluster, storage, &workload(storage, json!({ "selector": selector })));
                (0..3).for_each(|_| reconcile(&cluster, &place));
                let made = if storage == DEPLOYMENTS { REPLICA_SETS } else { PODS };
                assert!(cluster.store.is_empty(made), "{storage} {selector}");
                let object = cluster.store.get(storage, &place.1).unwrap();
                assert_eq!(object::at(&object.json, &["status", "collisionCount"]), None);
            }
        }
    }

    #[test]
    fn a_workload_makes_so_many_pods_at_once_and_the_rest_later() {
        for (storage, spec) in [
            (REPLICA_SETS, json!({ "replicas": 510 })),
            (STATEFUL_SETS, json!({ "replicas": 510, "podManagementPolicy": "Parallel" })),
            (JOBS, json!({ "parallelism": 510, "completions": 510 })),
        ] {
            let cluster = cluster();
            let place = create(&cluster, storage, &workload(storage, spec));
            reconcile(&cluster, &place);
            assert_eq!(cluster.store.list_all(PODS).len(), 500, "{storage}");
            reconcile(&cluster, &place);
            assert_eq!(cluster.store.list_all(PODS).len(), 510, "{storage}");
        }
    }

    #[test]
    fn nobody_adopts_for_an_owner_that_has_begun_to_go() {
        let cluster = cluster();
        let place = create(&cluster, REPLICA_SETS, &workload(REPLICA_SETS, json!({})));
        let before = cluster.store.get(&place.0, &place.1).unwrap();
        cluster.edit(&place.0, &place.1, |json| {
            object::set(json, &["metadata", "finalizers"], json!(["orphan"]));
            object::set(json, &["metadata", "deletionTimestamp"], object::now().into());
        });
        let metadata = json!({ "name": "p", "namespace": "default", "labels": { "app": "a" } });
        let spec = json!({ "containers": [{ "name": "c", "image": "i" }] });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        let key = Key::new("default", "p");
        let write = Write::by(cluster.kind_of(PODS).unwrap(), key.clone(), "test", "");
        write::create(&cluster, &write, pod.as_object().unwrap().clone()).unwrap();
        claim::claim(&act::Subject { cluster: &cluster, place: &place, json: &before.json }, PODS);
        let pod = cluster.store.get(PODS, &key).unwrap();
        assert_eq!(object::meta(&pod.json, "ownerReferences"), None);
    }

    #[test]
    fn a_status_that_somebody_wrote_meanwhile_stays() {
        let cluster = cluster();
        let place = create(&cluster, JOBS, &workload(JOBS, json!({})));
        let before = cluster.store.get(&place.0, &place.1).unwrap();
        cluster.edit(&place.0, &place.1, |json| {
            json.insert("status".to_owned(), json!({ "failed": 7 }));
        });
        let subject = act::Subject { cluster: &cluster, place: &place, json: &before.json };
        subject.set_status(act::CONTROLLER, json!({ "active": 1 }).as_object().unwrap().clone());
        let after = cluster.store.get(&place.0, &place.1).unwrap();
        assert_eq!(after.json.get("status"), Some(&json!({ "failed": 7 })));
    }
}
