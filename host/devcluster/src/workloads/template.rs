//! Pods from a template, and names for templates.

use serde_json::{Value, json};

use super::act::Subject;
use crate::naming;
use crate::object::{self, Json};

pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// A short name for a template: another template has another one, apart from collisions, which `salt`
/// tells apart.
pub(super) fn hash(template: &Value, salt: i64) -> String {
    let mut text = template.to_string();
    if salt > 0 {
        text.push_str(&salt.to_string());
    }
    // FNV-1a.
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let digits = text.bytes().fold(0x811c_9dc5, step).to_string();
    let letter = |digit: u8| naming::ALPHABET.get(usize::from(digit.saturating_sub(b'0')));
    digits.bytes().filter_map(letter).map(|&byte| char::from(byte)).collect()
}

/// The template of the subject.
pub(super) fn of(json: &Json) -> Value {
    object::at(json, &["spec", "template"]).cloned().unwrap_or_default()
}

/// A Pod of the subject's template with these labels in addition; it has no name yet.
pub(super) fn pod(subject: &Subject<'_>, labels: &[(&str, &str)]) -> Json {
    let template = of(subject.json);
    let mut pod = Json::new();
    pod.insert("apiVersion".to_owned(), "v1".into());
    pod.insert("kind".to_owned(), "Pod".into());
    pod.insert("metadata".to_owned(), json!({}));
    let part = |path: &str| template.pointer(path).cloned();
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = part(&format!("/metadata/{field}")) {
            object::set(&mut pod, &["metadata", field], value);
        }
    }
    for (label, value) in labels {
        object::set(&mut pod, &["metadata", "labels", label], json!(value));
    }
    pod.insert("spec".to_owned(), part("/spec").unwrap_or_else(|| json!({})));
    pod
}

/// A Pod whose name the server completes.
pub(super) fn generated(subject: &Subject<'_>, labels: &[(&str, &str)]) -> Json {
    let mut pod = pod(subject, labels);
    object::set(&mut pod, &["metadata", "generateName"], format!("{}-", subject.name()).into());
    pod
}
