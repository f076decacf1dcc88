//! How the API server's refusals reach the plugin.

use serde_json::json;
use wheelhouse_core::ApiError;
use wheelhouse_core::request::Change;

use crate::bench::{Bench, create, http, key, kind};

#[tokio::test]
async fn a_rejected_object_comes_with_the_servers_words_and_causes() {
    let bench = Bench::synced(10, []).await;
    let status = json!({"kind": "Status", "code": 422, "reason": "Invalid", "message": "ConfigMap a is invalid",
        "details": {"causes": [{"field": "data", "reason": "FieldValueInvalid", "message": "too long"}]}});
    bench.answer(http(422, "", &status.to_string()));
    let Err(ApiError::Invalid { message, causes }) = bench.write("a", create("a")).await else { panic!() };
    assert_eq!((message.as_str(), causes[0].field.as_str()), ("ConfigMap a is invalid", "data"));
}

#[tokio::test]
async fn an_applys_conflict_names_the_fields_of_others() {
    let bench = Bench::synced(10, []).await;
    let status = json!({"kind": "Status", "code": 409, "reason": "Conflict", "message": "1 conflict",
        "details": {"causes": [{"field": ".data.x", "reason": "FieldManagerConflict", "message": "kubectl"}]}});
    bench.answer(http(409, "", &status.to_string()));
    let apply = Change::Apply { object: b"{}".to_vec(), force: false };
    let Err(ApiError::Conflict { causes, .. }) = bench.write("a", apply).await else { panic!() };
    assert_eq!((causes[0].field.as_str(), causes[0].reason.as_str()), (".data.x", "FieldManagerConflict"));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_unavailable() {
    let bench = Bench::synced(10, []).await;
    for _ in 0..3 {
        bench.answer("");
    }
    let Err(ApiError::Unavailable(message)) = bench.get_live(kind(), key("a")).await else { panic!() };
    assert!(message.contains("cannot be reached"), "{message}");
}
