//! Which of its names a definition gets, and the status that says so: in a group, no two definitions
//! may share a resource name or a kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_true, strings, versions};
use crate::object::{self, Json, Object};

/// Sets the conditions that the real server's controllers would set a moment later.
pub(crate) fn set_status(definition: &mut Json, all: &[Arc<Object>]) {
    let (names, conflict) = judge(definition, all);
    let is_of_others =
        |condition: &&Value| !matches!(super::text(condition, "type"), "NamesAccepted" | "Established");
    let before = object::at(definition, &["status", "conditions"]).and_then(Value::as_array);
    let others: Vec<Value> = before.into_iter().flatten().filter(is_of_others).cloned().collect();
    let mut conditions = Vec::new();
    match &conflict {
        None => {
            let about = "no conflicts found";
            conditions.push(stamped(definition, "NamesAccepted", true, "NoConflicts", about));
            let about = "the initial names have been accepted";
            conditions.push(stamped(definition, "Established", true, "InitialNamesAccepted", about));
        }
        Some(conflict) => {
            let about = &conflict.message;
            conditions.push(stamped(definition, "NamesAccepted", false, conflict.reason, about));
            // What was served once stays served, under its old names.
            conditions.push(match condition(definition, "Established") {
                Some(established) if super::is_established(definition) => established.clone(),
                _ => stamped(definition, "Established", false, "NotAccepted", "not all names are accepted"),
            });
        }
    }
    conditions.extend(others);
    let mut stored: Vec<Value> = object::at(definition, &["status", "storedVersions"])
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for version in versions(definition).iter().filter(|version| is_true(version, "storage")) {
        if let Some(name) = version.get("name").filter(|name| !stored.contains(name)) {
            stored.push(name.clone());
        }
    }
    let status = json!({ "acceptedNames": names, "conditions": conditions, "storedVersions": stored });
    definition.insert("status".to_owned(), status);
}

/// What a definition says whose objects are being deleted.
const IN_PROGRESS: &str = "InstanceDeletionInProgress";

/// Whether a definition says that its objects are being deleted.
pub(crate) fn has_begun_to_go(definition: &Json) -> bool {
    let conditions = object::items(definition, &["status", "conditions"]);
    conditions.iter().any(|condition| super::text(condition, "reason") == IN_PROGRESS)
}

/// Says that a definition goes, and whether its objects are being deleted by now.
pub(crate) fn set_terminating(definition: &mut Json, has_begun: bool) {
    let (reason, about) = match has_begun {
        true => (IN_PROGRESS, "CustomResource deletion is in progress"),
        false => (
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        ),
    };
    let new = stamped(definition, "Terminating", true, reason, about);
    let mut conditions = object::items(definition, &["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|condition| super::text(condition, "type") == "Terminating") {
        Some(before) => *before = new,
        None => conditions.push(new),
    }
    object::set(definition, &["status", "conditions"], Value::Array(conditions));
}

/// Whether a definition has got all the names that it asks for.
pub(crate) fn is_accepted(definition: &Json) -> bool {
    object::has_condition(definition, "NamesAccepted")
}

fn condition<'a>(definition: &'a Json, of_type: &str) -> Option<&'a Value> {
    let conditions = object::at(definition, &["status", "conditions"])?.as_array()?;
    conditions.iter().find(|condition| condition.get("type") == Some(&json!(of_type)))
}

/// A condition with the time since which it has had its status.
fn stamped(definition: &Json, of_type: &str, ok: bool, reason: &str, message: &str) -> Value {
    let status = if ok { "True" } else { "False" };
    let previous =
        condition(definition, of_type).filter(|previous| previous.get("status") == Some(&json!(status)));
    let since = previous.and_then(|previous| previous.get("lastTransitionTime").cloned());
    json!({ "type": of_type, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since.unwrap_or_else(|| object::now().into()) })
}

struct Conflict {
    reason: &'static str,
    message: String,
}

/// The names that a definition may have, and the last conflict that keeps it from one.
fn judge(definition: &Json, all: &[Arc<Object>]) -> (Value, Option<Conflict>) {
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in all.iter().map(|object| &object.json).filter(|other| is_rival(definition, other)) {
        let name = |field: &str| object::text(other, &["status", "acceptedNames", field]).to_owned();
        resources.extend([name("plural"), name("singular")]);
        resources.extend(strings(object::at(other, &["status", "acceptedNames", "shortNames"])));
        kinds.extend([name("kind"), name("listKind")]);
    }
    let mut conflict = None;
    let mut names = match object::at(definition, &["status", "acceptedNames"]) {
        Some(Value::Object(accepted)) => accepted.clone(),
        _ => Json::from_iter([("kind".to_owned(), json!("")), ("plural".to_owned(), json!(""))]),
    };
    for (field, reason, taken) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let Some(wanted) = object::at(definition, &["spec", "names", field]) else {
            names.remove(field);
            continue;
        };
        let has = texts(names.get(field));
        let lost: Vec<String> = texts(Some(wanted))
            .into_iter()
            .filter(|name| !has.contains(name) && taken.contains(name))
            .map(|name| format!("{name:?} is already in use"))
            .collect();
        match lost.as_slice() {
            [] => {
                names.insert(field.to_owned(), wanted.clone());
            }
            [only] => conflict = Some(Conflict { reason, message: only.clone() }),
            several => conflict = Some(Conflict { reason, message: format!("[{}]", several.join(", ")) }),
        }
    }
    match object::at(definition, &["spec", "names", "categories"]) {
        Some(categories) => names.insert("categories".to_owned(), categories.clone()),
        None => names.remove("categories"),
    };
    (Value::Object(names), conflict)
}

/// Whether another definition is in the same group.
fn is_rival(definition: &Json, other: &Json) -> bool {
    object::name(other) != object::name(definition)
        && object::text(other, &["spec", "group"]) == object::text(definition, &["spec", "group"])
}

/// One text, or several.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        other => strings(other),
    }
}
