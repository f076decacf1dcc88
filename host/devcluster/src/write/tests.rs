//! Writers that get in each other's way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn config_map(sent: usize) -> Json {
    // The null is none once it has been decoded.
    let map = json!({ "metadata": { "name": "a" }, "data": { "sent": sent.to_string() }, "immutable": null });
    map.as_object().cloned().unwrap_or_default()
}

#[test]
fn an_update_that_somebody_else_gets_in_the_way_of_is_read_again_and_written() {
    let cluster = Cluster::open(None);
    let kind = cluster.registry.served().find("", "v1", "namespaces").unwrap();
    create(&cluster, &Write::by(kind, Key::new("", "default"), "test", ""), {
        json!({ "metadata": { "name": "default" } }).as_object().cloned().unwrap()
    })
    .unwrap();
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
