//! kube's own client and watcher, unchanged, against the development cluster.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;

use crate::support::{DEADLINE, start};

fn lease(name: &str, holder: &str) -> Lease {
    let spec = LeaseSpec { holder_identity: Some(holder.into()), ..Default::default() };
    let mut object = Lease { spec: Some(spec), ..Default::default() };
    object.metadata.name = Some(name.into());
    object
}

#[tokio::test]
async fn typed_crud_works() {
    let server = start().await;
    let api: Api<Lease> = Api::default_namespaced(server.client.clone());
    let created = api.create(&PostParams::default(), &lease("a", "1")).await.unwrap();
    let mut changed = created.clone();
    changed.spec = lease("a", "2").spec;
    api.replace("a", &PostParams::default(), &changed).await.unwrap();
    let conflict = api.replace("a", &PostParams::default(), &created).await.unwrap_err();
    assert!(matches!(conflict, kube::Error::Api(status) if status.code == 409));
    let patch = serde_json::json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "spec": { "leaseDurationSeconds": 7 } });
    let patch = Patch::Apply(patch);
    let applied = api.patch("a", &PatchParams::apply("test"), &patch).await.unwrap();
    let spec = applied.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some("2"), Some(7)));
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(api.delete("a", &DeleteParams::default()).await.unwrap().is_right());
    assert!(api.get_opt("a").await.unwrap().is_none());
}

/// What happens next, in words.
async fn next(events: &mut BoxStream<'_, watcher::Result<Event<Lease>>>) -> String {
    let event = tokio::time::timeout(DEADLINE, events.try_next()).await.unwrap().unwrap().unwrap();
    let (what, lease) = match event {
        Event::Init => return "begin".to_owned(),
        Event::InitDone => return "end of the list".to_owned(),
        Event::InitApply(lease) => ("listed", lease),
        Event::Apply(lease) => ("applied", lease),
        Event::Delete(lease) => ("deleted", lease),
    };
    format!("{what} {}", lease.metadata.name.unwrap_or_default())
}

#[tokio::test]
async fn the_watcher_works_with_both_list_strategies_any_semantic_and_page_size() {
    let server = start().await;
    let api: Api<Lease> = Api::default_namespaced(server.client.clone());
    api.create(&PostParams::default(), &lease("a", "1")).await.unwrap();
    api.create(&PostParams::default(), &lease("aa", "1")).await.unwrap();
    let default = watcher::Config::default;
    for config in [
        default().page_size(1),
        default().page_size(2),
        default().any_semantic(),
        default().any_semantic().page_size(1),
        default().streaming_lists(),
        default().streaming_lists().any_semantic(),
    ] {
        let mut events = watcher(api.clone(), config).boxed();
        for expected in ["begin", "listed a", "listed aa", "end of the list"] {
            assert_eq!(next(&mut events).await, expected);
        }
        api.create(&PostParams::default(), &lease("b", "1")).await.unwrap();
        assert_eq!(next(&mut events).await, "applied b");
        api.delete("b", &DeleteParams::default()).await.unwrap();
        assert_eq!(next(&mut events).await, "deleted b");
    }
}
