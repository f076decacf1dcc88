//! The rows of Events, which are told apart by what they say, in both of their APIs.

use serde_json::{Value, json};

use super::text::{age_of, number};
use crate::object::{self, Json};

pub(super) fn cells(json: &Json) -> Vec<Value> {
    let first = |paths: &[&[&str]]| {
        paths
            .iter()
            .map(|path| object::text(json, path))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let about = |field: &str| first(&[&["involvedObject", field], &["regarding", field]]);
    let begun = first(&[&["firstTimestamp"], &["deprecatedFirstTimestamp"], &["eventTime"]]);
    let seen =
        match first(&[&["series", "lastObservedTime"], &["lastTimestamp"], &["deprecatedLastTimestamp"]]) {
            none if none.is_empty() => begun.clone(),
            seen => seen,
        };
    let source = |field: &str| first(&[&["source", field], &["deprecatedSource", field]]);
    let reporter =
        || (first(&[&["reportingComponent"], &["reportingController"]]), first(&[&["reportingInstance"]]));
    let (component, place) = match source("component") {
        none if none.is_empty() => reporter(),
        component => (component, source("host")),
    };
    let from: Vec<String> = [component, place].into_iter().filter(|text| !text.is_empty()).collect();
    let counts: [&[&str]; 3] = [&["series", "count"], &["count"], &["deprecatedCount"]];
    let count = counts.iter().map(|path| number(json, path)).find(|count| *count > 0);
    vec![
        json!(age_of(&seen)),
        json!(first(&[&["type"]])),
        json!(first(&[&["reason"]])),
        json!(format!("{}/{}", about("kind").to_lowercase(), about("name"))),
        json!(about("fieldPath")),
        json!(from.join(", ")),
        json!(first(&[&["message"], &["note"]])),
        json!(age_of(&begun)),
        json!(count.unwrap_or(1)),
        json!(object::name(json)),
    ]
}
