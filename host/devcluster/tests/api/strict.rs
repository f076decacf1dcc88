//! How much a client is told of fields that are unknown or come twice.

use serde_json::json;

use crate::support::{CONFIG_MAPS, config_map, start};

#[tokio::test]
async fn warnings_are_cut_where_they_are_too_many_and_errors_are_a_hundred() {
    let server = start().await;
    let mut map = config_map("m", json!({}));
    for number in 0..300 {
        map[format!("{number}{}", "x".repeat(300))] = json!(1);
    }
    let answer = server.post(&format!("{CONFIG_MAPS}?fieldValidation=Warn"), map.clone()).await;
    let length: usize = answer.warnings.iter().map(String::len).sum();
    assert!(
        (10..=20).contains(&answer.warnings.len()) && length < 5000,
        "{} {length}",
        answer.warnings.len()
    );
    answer.ok();
    let refusal = server.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), map).await;
    let refusal = refusal.refused(400, "BadRequest");
    assert_eq!(refusal["message"].as_str().unwrap().matches("unknown field").count(), 100);
}
