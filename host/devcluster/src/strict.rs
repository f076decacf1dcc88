//! What a strict decoder tells of a body: fields that are unknown, or come twice.
//!
//! Promises: each is told once, and a hundred at most, as `sigs.k8s.io/json` has it; nothing is written down for who does
//! not want to know, since a small body can have very long paths in it.

use std::collections::BTreeMap;
use std::fmt;

const MOST: usize = 100;

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
