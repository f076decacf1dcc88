//! The corners of lists and of the forms of answers.

use serde_json::{Value, json};
use wheelhouse_devcluster::DevClusterConfig;

use crate::support::{CONFIG_MAPS, event, start, start_with};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_expired_token_comes_with_one_for_the_rest_as_it_is_now() {
    let server = start_with(DevClusterConfig { watch_history: 2, ..Default::default() }).await;
    for name in ["a", "b", "c"] {
        server.config_map(name, json!({})).await;
    }
    let first = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.ok();
    for name in ["d", "e", "f", "g"] {
        server.config_map(name, json!({})).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let expired = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    let expired = expired.refused(410, "Expired");
    let token = expired["metadata"]["continue"].as_str().expect("a new token");
    let rest = server.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_token_already_says_of_which_version_the_list_is() {
    let server = start().await;
    for name in ["a", "b"] {
        server.config_map(name, json!({})).await;
    }
    let first = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let status = server.get(&format!("{CONFIG_MAPS}?continue={token}&resourceVersion=3")).await;
    assert_eq!(
        status.refused(400, "BadRequest")["message"],
        "specifying resource version is not allowed when using continue"
    );
    server.get(&format!("{CONFIG_MAPS}?continue={token}&resourceVersion=0")).await.ok();
    server.get(&format!("{CONFIG_MAPS}?timeoutSeconds=soon")).await.refused(400, "BadRequest");
    server.get(&format!("{CONFIG_MAPS}?timeoutSeconds=5")).await.ok();
}

#[tokio::test]
async fn the_values_of_field_selectors_may_escape_commas_and_equals_signs() {
    let server = start().await;
    for (name, reason) in [("one", "a,b=c\\d"), ("two", "plain")] {
        server.post(EVENTS, event(name, reason, "n")).await.ok();
    }
    let escaped = "reason%3Da%5C,b%5C%3Dc%5C%5Cd";
    assert_eq!(names(&server.get(&format!("{EVENTS}?fieldSelector={escaped}")).await.ok()), ["one"]);
    let list = server.get(&format!("{EVENTS}?fieldSelector=regarding.name%3Dtwo")).await.ok();
    assert_eq!(names(&list), ["two"]);
    server.get(&format!("{EVENTS}?fieldSelector=reason%3Da%5Cx")).await.refused(400, "BadRequest");
    server.get(&format!("{EVENTS}?fieldSelector=reason%3Da%3Db")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn answers_come_in_yaml_to_who_asks_for_it() {
    let server = start().await;
    server.config_map("a", json!({ "k": "1" })).await;
    let answer = server.get_as(&format!("{CONFIG_MAPS}/a"), "application/yaml").await.ok();
    let text = answer.as_str().expect("text, not JSON");
    assert!(text.contains("kind: ConfigMap\n") && text.contains("name: a\n"), "{text}");
    let list = server.get_as(CONFIG_MAPS, "application/yaml").await.ok();
    assert!(list.as_str().unwrap().contains("kind: ConfigMapList"), "{list}");
    let missing = server.get_as(&format!("{CONFIG_MAPS}/x"), "application/yaml").await;
    assert!(missing.body.as_str().unwrap().contains("reason: NotFound"), "{}", missing.body);
}

#[tokio::test]
async fn a_version_match_needs_a_version_that_it_can_be_of() {
    let server = start().await;
    for name in ["a", "b"] {
        server.config_map(name, json!({})).await;
    }
    let first = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap();
    for (query, why) in [
        (
            "resourceVersionMatch=Exact".to_owned(),
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0".to_owned(),
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            format!("resourceVersionMatch=NotOlderThan&resourceVersion=0&continue={token}"),
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
        ),
    ] {
        let status = server.get(&format!("{CONFIG_MAPS}?{query}")).await.refused(422, "Invalid");
        assert_eq!(
            status["message"],
            format!("ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: {why}")
        );
    }
}
