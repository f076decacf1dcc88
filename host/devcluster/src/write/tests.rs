//! Writers that get in each other's way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn cluster() -> std::sync::Arc<Cluster> {
    let cluster = Cluster::open(None);
    let kind = cluster.registry.served().find("", "v1", "namespaces").unwrap();
    create(&cluster, &Write::by(kind, Key::new("", "default"), "test", ""), {
        json!({ "metadata": { "name": "default" } }).as_object().cloned().unwrap()
    })
    .unwrap();
    cluster
}

fn config_map(sent: usize) -> Json {
    // The null is none once it has been decoded.
    let map = json!({ "metadata": { "name": "a" }, "data": { "sent": sent.to_string() }, "immutable": null });
    map.as_object().cloned().unwrap_or_default()
}

#[test]
fn an_update_that_somebody_else_gets_in_the_way_of_is_read_again_and_written() {
    let cluster = cluster();
    let kind = cluster.registry.served().find("", "v1", "configmaps").unwrap();
    let write = Write::by(kind, Key::new("default", "a"), "test", "");
    create(&cluster, &write, config_map(0)).unwrap();
    let (again, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(30);
    std::thread::scope(|scope| {
        for first in [1, 2] {
            let (cluster, write, again, is_over) = (&cluster, &write, &again, &is_over);
            scope.spawn(move || {
                for number in (first..).step_by(2).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    let read_again = || {
                        again.fetch_add(1, Ordering::Relaxed);
                        Ok(config_map(number))
                    };
                    let written = update(cluster, write, config_map(number), read_again).unwrap();
                    let json = &written.object.json;
                    assert_eq!(object::text(json, &["data", "sent"]), number.to_string());
                    assert!(!json.contains_key("immutable"));
                    let is_enough = again.load(Ordering::Relaxed) > 10 || Instant::now() > deadline;
                    is_over.fetch_or(is_enough, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(again.load(Ordering::Relaxed) > 10);
}

#[test]
fn an_update_that_makes_an_object_goes_on_though_others_make_and_delete_it() {
    let cluster = cluster();
    let kind = cluster.registry.served().find("rbac.authorization.k8s.io", "v1", "clusterroles").unwrap();
    let key = Key::new("", "a");
    let write = Write::by(kind.clone(), key.clone(), "test", "");
    let role = |verb: usize| {
        let rule = json!({ "verbs": [verb.to_string()], "nonResourceURLs": ["/a"] });
        json!({ "metadata": { "name": "a" }, "rules": [rule] }).as_object().cloned().unwrap()
    };
    let (again, made, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(30);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (cluster, write, again, made, is_over) = (&cluster, &write, &again, &made, &is_over);
            let (kind, key, role) = (&kind, &key, &role);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let read_again = || {
                        again.fetch_add(1, Ordering::Relaxed);
                        Ok(role(writer))
                    };
                    let written = update(cluster, write, role(writer), read_again).unwrap();
                    made.fetch_add(usize::from(written.created), Ordering::Relaxed);
                    // Another may have been faster.
                    let _ =
                        crate::delete::delete(cluster, kind, key, &crate::delete::DeleteOptions::default());
                    let is_enough = [again, made].iter().all(|count| count.load(Ordering::Relaxed) > 10)
                        || Instant::now() > deadline;
                    is_over.fetch_or(is_enough, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(again.load(Ordering::Relaxed) > 10 && made.load(Ordering::Relaxed) > 10);
}
