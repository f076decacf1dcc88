//! What was seen, and what it says.

use anyhow::anyhow;
use serde_json::Value;

pub(crate) fn unexpected(expected: &str, seen: &str) -> anyhow::Error {
    anyhow!("expected: {expected}\nseen:     {}", seen.trim().replace('\n', "\n          "))
}

/// A condition, and what is seen if it does not hold.
pub(crate) fn so(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// What a JSON pointer leads to, as text; empty if it leads nowhere.
pub(crate) fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub(crate) fn annotation(object: &Value, at: &str, name: &str) -> String {
    text(object, &format!("{at}/annotations/{}", name.replace('/', "~1")))
}

pub(crate) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_that_leads_nowhere_is_no_text() {
        let object = json!({ "a": { "b": "c", "n": 1, "none": null, "annotations": { "x.y/z": "v" } } });
        assert_eq!(["/a/b", "/a/n", "/a/none", "/a/x"].map(|at| text(&object, at)), ["c", "1", "", ""]);
        assert_eq!(annotation(&object, "/a", "x.y/z"), "v");
    }

    #[test]
    fn what_was_seen_is_below_what_was_expected() {
        let error = unexpected("a Service", "an error\nof two lines\n").to_string();
        assert_eq!(error, "expected: a Service\nseen:     an error\n          of two lines");
    }
}
