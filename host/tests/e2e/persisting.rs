//! The embedded API server with a data directory, killed at any moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{Process, address, api, wheelhouse};

/// How often it is killed.
const KILLS: u64 = 12;

async fn server(folder: &Path) -> (Process, kube::Client) {
    let server = Process::start(wheelhouse().args(["devcluster", "--data-dir"]).arg(folder));
    let at = address(server.logged("url=\"http://").await);
    let mut config = kube::Config::new(format!("http://{at}").parse().unwrap());
    config.default_retry = false;
    (server, kube::Client::try_from(config).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    // Of each writer's object, the last value that was acknowledged, and its version.
    let mut acknowledged: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut newest = 0;
    for round in 0..KILLS {
        let (mut server, client) = server(folder.path()).await;
        let maps = api(&client, "v1/ConfigMap", "default");
        let version =
            |map: &DynamicObject| map.metadata.resource_version.as_deref().unwrap().parse::<u64>().unwrap();
        let list = maps.list(&ListParams::default()).await.unwrap();
        let found: BTreeMap<String, (u64, u64)> = list
            .items
            .iter()
            .map(|map| {
                let value = map.data["data"]["value"].as_str().unwrap().parse().unwrap();
                (map.metadata.name.clone().unwrap(), (value, version(map)))
            })
            .collect();
        for (name, (value, version)) in &acknowledged {
            // A write whose answer did not come may have been done.
            let (now, at) = found[name];
            assert!(
                (now, at) == (*value, *version) || now > *value,
                "{name}: {now} at {at}, not {value} at {version}"
            );
        }
        let writers = (0..4_u64).map(|writer| {
            let (maps, mut value) =
                (maps.clone(), found.get(&format!("w{writer}")).map_or(0, |found| found.0));
            tokio::spawn(async move {
                let (name, mut last) = (format!("w{writer}"), None);
                loop {
                    value += 1;
                    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                        "data": {"value": value.to_string()}});
                    let patch = PatchParams::apply("test").force();
                    match maps.patch(&name, &patch, &Patch::Apply(&map)).await {
                        Ok(map) => last = Some((value, version(&map))),
                        Err(_) => return (name, last),
                    }
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        // Any moment will do: each is another.
        tokio::time::sleep(Duration::from_millis(40 + round * 23 % 97)).await;
        server.signal("-KILL");
        server.exit().await;
        for writer in writers {
            let (name, last) = writer.await.unwrap();
            if let Some((value, version)) = last {
                assert!(version > newest, "versions go on: {version}, after {newest}");
                acknowledged.insert(name, (value, version));
            }
        }
        newest = acknowledged.values().map(|(_, version)| *version).max().unwrap_or(newest);
    }
    assert!(
        acknowledged.values().all(|(value, _)| *value > KILLS),
        "hardly anything was written: {acknowledged:?}"
    );
}
