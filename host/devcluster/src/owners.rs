//! Owner references that an object has more than once: it keeps the first of those that are alike, and who sent them is
//! told so.

use serde_json::Value;

use crate::object::{self, Json};

/// What a warning says of references that came about after the object was decoded.
pub(crate) const CHANGED: &str = " after mutating admission happens";

/// Drops what is there already; answers with a warning if anything was.
pub(crate) fn deduplicate(json: &mut Json, when: &str) -> Option<String> {
    let references = object::items(json, &["metadata", "ownerReferences"]);
    let (mut kept, mut doubled): (Vec<Value>, Vec<&str>) = (Vec::new(), Vec::new());
    for reference in references {
        match kept.contains(reference) {
            true => doubled.push(object::field(reference, "uid")),
            false => kept.push(reference.clone()),
        }
    }
    if doubled.is_empty() {
        return None;
    }
    let warning = format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
         may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
        doubled.join(", ")
    );
    object::set(json, &["metadata", "ownerReferences"], kept.into());
    Some(warning)
}
