//! Where a Pod may go that waits for its scheduling gates: as long as it does, that may be narrowed down
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/>, "Mutable Pod scheduling
//! directives").

use serde_json::Value;

use crate::error::Cause;
use crate::object::{self, Json};

const AFFINITY: &[&str] = &["affinity", "nodeAffinity"];
const TERMS: &[&str] =
    &["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];

/// What is wrong with the directives of a Pod's new specification, where they differ from the old ones.
pub(crate) fn problems(old: &Json, new: &Json) -> Vec<Cause> {
    let mut causes = Vec::new();
    let selector =
        |spec: &Json| spec.get("nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (selector(old), selector(new));
    if !before.iter().all(|(label, value)| after.get(label) == Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        causes.push(Cause::invalid("spec.nodeSelector", &Value::Object(after), why));
    }
    let (before, after) = (object::items(old, TERMS), object::items(new, TERMS));
    let path = format!("spec.{}", TERMS.join("."));
    if !before.is_empty() && after.is_empty() {
        causes.push(Cause::required(path.as_str(), "must have at least one node selector term"));
    }
    if !before.is_empty() && before.len() != after.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        causes.push(Cause::invalid(path, &Value::from(after.to_vec()), why));
        return causes;
    }
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        if !only_adds(before, after) {
            let why = "only additions are allowed (no mutations or deletions)";
            causes.push(Cause::invalid(format!("{path}[{index}]"), after, why));
        }
    }
    causes
}

/// Leaves out of a Pod's specification what says where it goes.
pub(crate) fn remove_directives(spec: &mut Json) {
    spec.remove("nodeSelector");
    object::remove(spec, AFFINITY);
    if spec.get("affinity").and_then(Value::as_object).is_some_and(Json::is_empty) {
        spec.remove("affinity");
    }
}

/// Whether a term asks for all that it asked for before, in the same order. One that selects nothing stays so.
fn only_adds(before: &Value, after: &Value) -> bool {
    const PARTS: [&str; 2] = ["matchExpressions", "matchFields"];
    fn part<'a>(term: &'a Value, name: &str) -> &'a [Value] {
        term.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
    let selects = |term: &Value| PARTS.iter().any(|name| !part(term, name).is_empty());
    selects(before) == selects(after)
        && PARTS.iter().all(|name| part(after, name).starts_with(part(before, name)))
}
