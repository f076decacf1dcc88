//! Objects become the types of `k8s-openapi` and of derived CRDs, field by field as JSON would.

use k8s_openapi::api::core::v1::Pod;
use wheelhouse_sdk::Object;

const POD: &str = include_str!("../../host/core/tests/data/pod.json");

#[test]
fn a_pod_decodes_to_what_serde_json_makes_of_it() {
    let object = Object::from_json(&serde_json::from_str(POD).unwrap()).unwrap();
    let pod: Pod = object.to().unwrap();
    assert_eq!(pod, serde_json::from_str::<Pod>(POD).unwrap());
    assert!(pod.status.is_some_and(|status| status.conditions.is_some_and(|list| !list.is_empty())));
}

#[test]
fn what_does_not_fit_the_type_is_an_error_that_says_so() {
    for (pod, message) in [
        (serde_json::json!({"spec": {"containers": "none"}}), "expected a sequence"),
        (
            serde_json::json!({"spec": {"containers": [{"name": "web", "ports": [{"containerPort": "x"}]}]}}),
            "expected i32",
        ),
    ] {
        let error = Object::from_json(&pod).unwrap().to::<Pod>().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
