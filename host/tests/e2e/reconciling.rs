//! What leads to a reconcile, and what does not.

use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{Host, eventually};

/// How often an object was reconciled well, by the log.
fn reconciled(host: &Host, object: &str) -> usize {
    let object = format!("object={object}");
    host.log().lines().filter(|line| line.contains("reconciled") && line.contains(&object)).count()
}

#[tokio::test]
async fn trap_31_an_object_that_is_gone_is_reconciled_once_more() {
    let host = Host::start_with(&["hello"], &["--log", "info,wheelhouse_controller=debug"]).await;
    host.until_running("hello.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "friend", "namespace": "default", "labels": {"hello": "world"}}}))
        .await;
    let times = |wanted: usize| {
        let host = &host;
        async move {
            eventually(&format!("reconciled {wanted} times"), || async {
                (reconciled(host, "default/friend") >= wanted).then_some(())
            })
            .await;
        }
    };
    // For its creation, and for the greeting that came of it.
    times(2).await;
    host.api("v1/ConfigMap", "default").delete("friend", &DeleteParams::default()).await.unwrap();
    times(3).await;
    assert_eq!(reconciled(&host, "default/friend"), 3, "{}", host.log());
}
