//! What a strict decoder tells of a body: fields that are unknown, or come twice.
//!
//! Promises: each is told once, and a hundred at most, as `sigs.k8s.io/json` has it; nothing is written down for who does
//! not want to know, since a small body can have very long paths in it.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::ApiError;
use crate::write::{FieldValidation, Write};
use crate::{accept, duplicates, patch, respond};

const MOST: usize = 100;
/// What Go's YAML decoder begins with, and what it has between lines.
const YAML_ERRORS: &str = "yaml: unmarshal errors:\n  ";
const NEXT_LINE: &str = "\n  ";

/// The strict errors of one body.
#[derive(Debug, Default)]
pub(crate) struct StrictErrors {
    is_told: bool,
    is_found: bool,
    /// Each with how many came before it.
    lines: BTreeMap<String, usize>,
}

impl StrictErrors {
    /// Of a body whose sender wants to be told of them, or not.
    pub(crate) fn new(is_told: bool) -> Self {
        Self { is_told, ..Self::default() }
    }

    pub(crate) fn add(&mut self, line: fmt::Arguments<'_>) {
        self.is_found = true;
        let count = self.lines.len();
        if self.is_told && count < MOST {
            self.lines.entry(line.to_string()).or_insert(count);
        }
    }

    /// Takes back what was added, which was no body of its kind.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.is_told);
    }

    /// Whether there was none, told or not.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_found
    }

    /// The lines in the order in which they were found.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let mut lines: Vec<(String, usize)> = self.lines.into_iter().collect();
        lines.sort_unstable_by_key(|(_, before)| *before);
        lines.into_iter().map(|(line, _)| line).collect()
    }
}

impl Write {
    /// Where the strict errors of what was sent are noted, as far as its sender wants to know of them.
    pub(crate) fn strict_errors(&self) -> StrictErrors {
        StrictErrors::new(self.validation != FieldValidation::Ignore)
    }

    /// The fields that a body has twice, of which so many fields were `read`.
    pub(crate) fn doubled(&self, bytes: &[u8], media_type: &str, read: usize) -> Vec<String> {
        let mut found = self.strict_errors();
        if !found.is_told {
            return Vec::new();
        }
        duplicates::find(bytes, read, &mut found);
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if matches!(media_type, accept::YAML | patch::APPLY) && (!found.is_empty() || !is_json()) {
            found = self.strict_errors();
            duplicates::find_in_yaml(&String::from_utf8_lossy(bytes), &mut found);
        }
        found.into_lines()
    }

    /// What a client is told of the strict errors of a body of this media type.
    pub(crate) fn judge_strictly(
        &self,
        doubled: Vec<String>,
        media_type: &str,
    ) -> Result<Vec<String>, ApiError> {
        let why = match media_type {
            accept::YAML => format!("strict decoding error: {YAML_ERRORS}{}", doubled.join(NEXT_LINE)),
            patch::APPLY => {
                let lines = doubled.join(NEXT_LINE);
                format!("error strict decoding YAML: error converting YAML to JSON: {YAML_ERRORS}{lines}")
            }
            _ if self.kind.is_custom() => {
                let (kind, version) = (&self.kind.kind, &self.kind.version);
                let lines = doubled.join(", ");
                format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {lines}"
                )
            }
            _ => format!("strict decoding error: {}", doubled.join(", ")),
        };
        match self.validation {
            FieldValidation::Strict if !doubled.is_empty() => Err(ApiError::bad_request(why)),
            _ => Ok(doubled),
        }
    }

    /// What a client is told of fields that are unknown.
    pub(crate) fn judge_unknown(&self, unknown: StrictErrors) -> Result<Vec<String>, ApiError> {
        self.judge_strictly(unknown.into_lines(), respond::JSON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_told_in_order_and_each_once() {
        let mut errors = StrictErrors::new(true);
        assert!(errors.is_empty());
        for number in (0..200).rev().flat_map(|number| [number, number]) {
            errors.add(format_args!("{number}"));
        }
        assert!(!errors.is_empty());
        let expected: Vec<String> = (100..200).rev().map(|number| number.to_string()).collect();
        assert_eq!(errors.into_lines(), expected);
    }

    #[test]
    fn nothing_is_written_down_for_who_does_not_want_to_know() {
        struct Never;
        impl fmt::Display for Never {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("it was written down")
            }
        }
        let mut errors = StrictErrors::new(false);
        errors.add(format_args!("{Never}"));
        assert!(!errors.is_empty() && errors.into_lines().is_empty());
    }
}
