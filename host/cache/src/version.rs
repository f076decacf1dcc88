//! Resource versions, compared as Kubernetes allows it: KEP-5504 makes them decimal integers that
//! grow with every write to a resource; anything else can only be equal or not.
//!
//! After `k8s.io/apimachinery/pkg/util/resourceversion`: no leading zeros, any number of digits.

use std::cmp::Ordering;

fn is_number(version: &str) -> bool {
    !version.is_empty() && !version.starts_with('0') && version.bytes().all(|b| b.is_ascii_digit())
}

/// How two versions of objects of one kind are ordered; none if nobody can say.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    if is_number(a) && is_number(b) {
        Some(a.len().cmp(&b.len()).then_with(|| a.cmp(b)))
    } else if a == b {
        Some(Ordering::Equal)
    } else {
        None
    }
}

/// Whether `a` is known to be older than `b`.
pub fn older(a: &str, b: &str) -> bool {
    compare(a, b) == Some(Ordering::Less)
}

/// Whether `a` is known to be at least as new as `b`.
pub fn reaches(a: &str, b: &str) -> bool {
    matches!(compare(a, b), Some(Ordering::Equal | Ordering::Greater))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_integers_of_any_size() {
        assert_eq!(compare("9", "10"), Some(Ordering::Less));
        assert_eq!(compare("340282366920938463463374607431768211456", "9"), Some(Ordering::Greater));
        assert_eq!(compare("7", "7"), Some(Ordering::Equal));
    }

    #[test]
    fn what_is_no_integer_is_only_equal_or_not() {
        assert_eq!(compare("a", "a"), Some(Ordering::Equal));
        for (a, b) in [("a", "b"), ("", "1"), ("01", "1"), ("-1", "1"), ("1", "1a")] {
            assert_eq!(compare(a, b), None, "{a} {b}");
            assert!(!older(a, b) && !reaches(a, b));
        }
    }
}
