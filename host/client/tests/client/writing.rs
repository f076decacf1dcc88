//! What is sent, word by word.

use std::time::Duration;

use serde_json::json;
use wheelhouse_core::request::{Change, PatchType, Propagation, Write};
use wheelhouse_core::{ApiError, Key};

use crate::bench::{Bench, create, delete, http, json_of, node, ok, refusal, written};

fn bytes(value: serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[tokio::test]
async fn each_change_is_the_request_that_kubernetes_knows() {
    let bench = Bench::synced(10, []).await;
    let changes = [
        create("a"),
        Change::Update(bytes(json!({"metadata": {"name": "a", "resourceVersion": "3"}}))),
        Change::Patch(PatchType::Json, bytes(json!([]))),
        Change::Patch(PatchType::Merge, bytes(json!({}))),
        Change::Patch(PatchType::Strategic, bytes(json!({}))),
        Change::Apply { object: bytes(json!({"data": {}})), force: true },
    ];
    for change in changes {
        bench.answer(ok(&json_of("a", 12, "x")));
        let stored = bench.write("a", change).await.unwrap().unwrap();
        assert_eq!(stored.resource_version(), "12");
    }
    let asked: Vec<(String, String)> = bench.asked().into_iter().map(|a| (a.what, a.content_type)).collect();
    let one = "/api/v1/namespaces/n/configmaps/a";
    let expected = [
        ("POST /api/v1/namespaces/n/configmaps?fieldManager=p".to_owned(), "application/json"),
        (format!("PUT {one}?fieldManager=p"), "application/json"),
        (format!("PATCH {one}?fieldManager=p"), "application/json-patch+json"),
        (format!("PATCH {one}?fieldManager=p"), "application/merge-patch+json"),
        (format!("PATCH {one}?fieldManager=p"), "application/strategic-merge-patch+json"),
        (format!("PATCH {one}?fieldManager=p&force=true"), "application/apply-patch+yaml"),
    ];
    assert_eq!(asked, expected.map(|(what, content_type)| (what, content_type.to_owned())));
    let filled =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
    assert_eq!(bench.asked()[0].body, filled);
}

#[tokio::test]
async fn a_deletion_carries_its_options_and_returns_nothing() {
    let bench = Bench::synced(10, []).await;
    bench.answer(ok(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})));
    let change = Change::Delete {
        propagation: Some(Propagation::Foreground),
        grace_period: Some(Duration::from_secs(0)),
        uid: Some("u".into()),
        resource_version: Some("7".into()),
    };
    assert_eq!(bench.write_as(Write { dry_run: true, ..written("a", change) }).await, Ok(None));
    let asked = bench.asked().remove(0);
    assert_eq!(asked.what, "DELETE /api/v1/namespaces/n/configmaps/a?dryRun=All");
    assert_eq!(
        asked.body,
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground",
            "gracePeriodSeconds": 0, "preconditions": {"uid": "u", "resourceVersion": "7"}})
    );
}

#[tokio::test]
async fn an_object_of_another_kind_or_place_than_the_gate_judged_is_never_sent() {
    let bench = Bench::synced(10, []).await;
    for object in [
        json!({"kind": "Secret"}),
        json!({"apiVersion": "v2"}),
        json!({"metadata": {"name": "b"}}),
        json!({"metadata": {"namespace": "kube-system"}}),
        json!({"metadata": 7}),
        json!([]),
    ] {
        for change in [Change::Create, Change::Update, |object| Change::Apply { object, force: false }] {
            let refused = bench.write("a", change(bytes(object.clone()))).await;
            assert!(matches!(refused, Err(ApiError::BadRequest(_))), "{object}: {refused:?}");
        }
    }
    for name in ["../secrets/x", "a/b", "a?b", "..", ""] {
        for change in [delete(), Change::Patch(PatchType::Merge, b"{}".to_vec()), create(name)] {
            let nameless = name.is_empty() && matches!(change, Change::Create(_));
            if !nameless && !matches!(change, Change::Create(_)) {
                assert!(matches!(bench.write(name, change).await, Err(ApiError::BadRequest(_))), "{name}");
            }
        }
    }
    let nowhere = Write { key: Key::new("", "a"), ..written("a", delete()) };
    assert!(matches!(bench.write_as(nowhere).await, Err(ApiError::BadRequest(_))));
    let somewhere = Write { kind: node(), ..written("a", delete()) };
    assert!(matches!(bench.write_as(somewhere).await, Err(ApiError::BadRequest(_))));
    assert!(bench.asked().is_empty());
}

#[tokio::test]
async fn trap_24_a_create_is_sent_once_whatever_comes_back() {
    let bench = Bench::synced(10, []).await;
    let generated = || Change::Create(bytes(json!({"metadata": {"generateName": "a-"}})));
    for answer in [
        String::new(),
        refusal(503, "ServiceUnavailable"),
        refusal(504, "Timeout"),
        http(429, "retry-after: 1\r\n", ""),
        http(200, "", "{half an answer"),
    ] {
        let before = bench.asked().len();
        bench.answer(answer);
        let error = bench.write("", generated()).await.unwrap_err();
        assert!(
            matches!(
                error,
                ApiError::Unavailable(_) | ApiError::Timeout(_) | ApiError::TooManyRequests { .. }
            ),
            "{error:?}"
        );
        assert_eq!(bench.asked().len(), before + 1);
    }
}

#[tokio::test]
async fn trap_25_a_conflict_is_the_plugins_to_solve() {
    let bench = Bench::synced(10, []).await;
    bench.answer(refusal(409, "Conflict"));
    let update = Change::Update(bytes(json!({"metadata": {"name": "a", "resourceVersion": "3"}})));
    assert!(matches!(bench.write("a", update).await, Err(ApiError::Conflict { .. })));
    assert_eq!(bench.asked().len(), 1);
}

#[tokio::test]
async fn trap_27_a_subresource_answer_that_is_not_the_parent_is_no_error_and_the_write_is_read_back() {
    let bench = Bench::synced(10, [crate::bench::object("a", 1, "x")]).await;
    bench.answer(ok(&json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}})));
    bench.answer(ok(&json_of("a", 12, "scaled")));
    let patch = Change::Patch(PatchType::Merge, bytes(json!({"spec": {"replicas": 3}})));
    let write = Write { subresource: "scale".into(), ..written("a", patch.clone()) };
    let scale = bench.write_as(write.clone()).await.unwrap().unwrap();
    assert_eq!(
        scale.value().to_json(),
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","spec":{"replicas":3}}"#
    );
    assert_eq!(bench.version("a").await, "12");
    // Even if it cannot be read back.
    bench.answer(ok(&json!({"kind": "Scale"})));
    bench.answer(refusal(403, "Forbidden"));
    assert!(bench.write_as(write).await.is_ok());
}
