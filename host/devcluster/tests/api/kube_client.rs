//! kube's own client and watcher, unchanged, against the development cluster.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};

use crate::support::{DEADLINE, start};

fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut object =
        ConfigMap { data: Some(BTreeMap::from([("k".into(), value.into())])), ..Default::default() };
    object.metadata.name = Some(name.into());
    object
}

#[tokio::test]
async fn typed_crud_works() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client.clone());
    let created = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let mut changed = created.clone();
    changed.data = config_map("a", "2").data;
    api.replace("a", &PostParams::default(), &changed).await.unwrap();
    let conflict = api.replace("a", &PostParams::default(), &created).await.unwrap_err();
    assert!(matches!(conflict, kube::Error::Api(status) if status.code == 409));
    let patch =
        Patch::Apply(serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "x": "y" } }));
    let applied = api.patch("a", &PatchParams::apply("test"), &patch).await.unwrap();
    assert_eq!(applied.data.unwrap().len(), 2);
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert!(api.delete("a", &DeleteParams::default()).await.unwrap().is_right());
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn the_watcher_works_with_both_list_strategies_any_semantic_and_page_size() {
    let server = start().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client.clone());
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    api.create(&PostParams::default(), &config_map("aa", "1")).await.unwrap();
    let default = watcher::Config::default;
    for config in [
        default().page_size(1),
        default().page_size(2),
        default().any_semantic(),
        default().any_semantic().page_size(1),
        default().streaming_lists(),
        default().streaming_lists().any_semantic(),
    ] {
        let mut seen = watcher(api.clone(), config).applied_objects().boxed();
        for name in ["a", "aa"] {
            let listed = tokio::time::timeout(DEADLINE, seen.try_next()).await.unwrap().unwrap().unwrap();
            assert_eq!(listed.metadata.name.as_deref(), Some(name));
        }
        api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
        let second = tokio::time::timeout(DEADLINE, seen.try_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(second.metadata.name.as_deref(), Some("b"));
        api.delete("b", &DeleteParams::default()).await.unwrap();
    }
}
