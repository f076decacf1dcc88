//! Which workloads the log has been told of that what they are to have cannot be made.
//!
//! It is told once of each, and again when the workload is another one by then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::object::{self, Json};

/// The generations of the workloads that failed, by uid.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<HashMap<String, Value>>);

impl Failures {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a workload failed, as it is now; whether that is not known yet.
    pub(super) fn note(&self, workload: &Json) -> bool {
        let generation = object::meta(workload, "generation").cloned().unwrap_or_default();
        let before = self.known().insert(object::uid(workload).to_owned(), generation.clone());
        before != Some(generation)
    }

    /// The workload is gone.
    pub(super) fn forget(&self, workload: &Json) {
        self.known().remove(object::uid(workload));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_news_once_and_again_when_the_workload_has_changed() {
        let workload = |uid: &str, generation: u64| {
            json!({ "metadata": { "uid": uid, "generation": generation } }).as_object().unwrap().clone()
        };
        let failures = Failures::default();
        assert!(failures.note(&workload("a", 1)));
        assert!(!failures.note(&workload("a", 1)));
        assert!(failures.note(&workload("b", 1)));
        assert!(failures.note(&workload("a", 2)));
        failures.forget(&workload("a", 2));
        assert!(failures.note(&workload("a", 2)));
        assert!(!failures.note(&workload("b", 1)));
    }
}
