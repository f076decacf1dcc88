//! Objects of which one value is wrong, each with what a cluster says of it.

use serde::Deserialize;
use serde_json::Value;

use crate::support::start;

#[derive(Deserialize)]
struct Refused {
    /// Where it is to be created.
    list: String,
    body: Value,
    /// The causes that it is refused for, each with its field.
    causes: Vec<String>,
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_refused_as_a_cluster_refuses_it() {
    let server = start().await;
    let cases: Vec<Refused> = serde_json::from_str(include_str!("refused_values.json")).unwrap();
    let mut wrong = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let answer = server.post(&format!("{}?dryRun=All", case.list), case.body.clone()).await;
        let told = answer.body["details"]["causes"].as_array().cloned().unwrap_or_default();
        let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
        let told: Vec<_> = told
            .iter()
            .map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message")))
            .collect();
        if answer.code != 422 || told != case.causes {
            wrong.push(format!(
                "{index}: {} {}\n  told: {} {told:?}\n  not: {:?}",
                case.list, case.body, answer.code, case.causes
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
