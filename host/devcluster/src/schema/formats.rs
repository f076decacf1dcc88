//! The formats of texts and numbers that kube-apiserver enforces; others are only documentation.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use serde_json::Value;

/// Patterns of the formats that need no more than a pattern.
const PATTERNS: &[(&str, &str)] = &[
    ("bsonobjectid", "^[0-9a-fA-F]{24}$"),
    ("creditcard", r"^[0-9]{13,19}$"),
    ("email", r"^[^\s@<>,;:]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"),
    ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    (
        "hostname",
        r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?$",
    ),
    ("isbn10", "^([0-9][- ]?){9}[0-9X]$"),
    ("isbn13", "^([0-9][- ]?){12}[0-9]$"),
    ("k8s-short-name", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    ("k8s-long-name", r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"),
    ("mac", "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}([:-][0-9a-fA-F]{2}){0,2}$"),
    ("rgbcolor", r"^rgb\(\s*[0-9]{1,3}%?\s*,\s*[0-9]{1,3}%?\s*,\s*[0-9]{1,3}%?\s*\)$"),
    ("ssn", "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"),
    ("uri", r"^([A-Za-z][A-Za-z0-9+.-]*:[^\s]+|/[^\s]*)$"),
    ("uuid", UUID),
    ("uuid3", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
    ("uuid4", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
    ("uuid5", "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
];
const UUID: &str = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";

static COMPILED: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    PATTERNS.iter().filter_map(|(format, pattern)| Some((*format, Regex::new(pattern).ok()?))).collect()
});

/// Whether a text is of a format; any text is of an unknown one.
pub(super) fn text_fits(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "byte" => STANDARD.decode(text).is_ok(),
        "date" => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() && text.len() == 10,
        "date-time" | "datetime" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "duration" => is_duration(text),
        "isbn" => text_fits("isbn10", text) || text_fits("isbn13", text),
        "k8s-short-name" | "hostname" | "k8s-long-name" if text.len() > 253 => false,
        _ => match COMPILED.iter().find(|(known, _)| *known == format) {
            Some((_, pattern)) => pattern.is_match(text),
            None => true,
        },
    }
}

/// Whether a number is in the range of its format.
pub(super) fn number_fits(format: &str, value: &Value) -> bool {
    let integer = value.as_i64();
    match format {
        "int32" => integer.is_none_or(|n| i32::try_from(n).is_ok()) && !is_beyond(value),
        "int64" => !is_beyond(value),
        "float" => value.as_f64().is_none_or(|n| n.abs() <= f64::from(f32::MAX)),
        _ => true,
    }
}

/// Whether a whole number does not fit 64 bits with a sign.
fn is_beyond(value: &Value) -> bool {
    // The two bounds are powers of two, so that they are exact.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    value.as_i64().is_none() && value.as_f64().is_some_and(|n| !(-BOUND..BOUND).contains(&n))
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let length = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), _) => 32,
        (_, Ok(_)) => 128,
        _ => return false,
    };
    prefix.bytes().all(|byte| byte.is_ascii_digit())
        && prefix.parse::<u16>().is_ok_and(|prefix| prefix <= length)
}

/// A duration as Go writes it (`1h30m`), or as words (`2 days`).
fn is_duration(text: &str) -> bool {
    static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let units = "ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?\
            |m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?";
        Regex::new(&format!(r"^\s*([0-9]+(\.[0-9]+)?\s*({units})\s*)+$")).ok()
    });
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    unsigned == "0" || WORDS.as_ref().is_some_and(|words| words.is_match(unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_a_format_compiles() {
        assert_eq!(COMPILED.len(), PATTERNS.len());
    }

    #[test]
    fn durations_are_as_go_writes_them_or_in_words() {
        for good in ["0", "-1.5h", "1h30m10s", "3 days", "10µs"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "h", "5", "1 fortnight", "1h-3m"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
