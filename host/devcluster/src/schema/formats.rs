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
    (
        "email",
        r#"^\s*([^<>@]*<)?("[^"]*"|[^\s@<>,;:".]+(\.[^\s@<>,;:".]+)*)@([^\s@<>,;:".]+(\.[^\s@<>,;:".]+)*)>?\s*$"#,
    ),
    ("hexcolor", "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    // A name of one part has a hyphen at its second place at most.
    (
        "hostname",
        r"^(?:[\p{L}\p{S}0-9](?:-?[\p{L}\p{S}0-9]{0,62})?|(?:[\p{L}\p{S}0-9](?:[\p{L}\p{S}0-9-]{0,61}[\p{L}\p{S}0-9])?\.)+\p{L}{2,63})$",
    ),
    ("k8s-short-name", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    ("k8s-long-name", r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"),
    (
        "rgbcolor",
        r"^rgb\((\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*,){2}\s*(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])\s*\)$",
    ),
    ("ssn", "^[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}$"),
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
        "ipv4" => is_ipv4(text),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "byte" => !text.is_empty() && STANDARD.decode(text).is_ok(),
        "date" => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() && text.len() == 10,
        "date-time" | "datetime" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "duration" => is_duration(text),
        "creditcard" => is_credit_card(text),
        "isbn10" => is_isbn(text, 10),
        "isbn13" => is_isbn(text, 13),
        "mac" => is_mac(text),
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

/// An address, whose numbers may have zeros in front of them.
fn is_ipv4(text: &str) -> bool {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().is_ok_and(|address| address.to_ipv4_mapped().is_some());
    }
    let mut count = 0;
    let parts = text.split('.').inspect(|_| count += 1);
    let all_fit = parts.fold(true, |fits, part| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        fits && is_number && part.parse::<u8>().is_ok()
    });
    all_fit && count == 4
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// Digits of which the last one proves the others.
fn is_credit_card(text: &str) -> bool {
    let digits = digits_of(text);
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    (14..=16).contains(&digits.len())
        && digits.first().is_some_and(|first| *first != 0)
        && sum.is_multiple_of(10)
}

/// Numbers of books end in a digit, or an X, that proves the others.
fn is_isbn(text: &str, length: usize) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let last = plain.len().saturating_sub(1);
    let digits: Option<Vec<u32>> = plain
        .chars()
        .enumerate()
        .map(|(place, c)| if c == 'X' && length == 10 && place == last { Some(10) } else { c.to_digit(10) })
        .collect();
    let Some(digits) = digits.filter(|digits| digits.len() == length) else { return false };
    let weighed = |weight: &dyn Fn(u32) -> u32| -> u32 {
        (0..).zip(&digits).map(|(place, digit)| weight(place) * digit).sum()
    };
    match length {
        10 => weighed(&|place| place + 1) % 11 == 0,
        _ => weighed(&|place| if place % 2 == 0 { 1 } else { 3 }) % 10 == 0,
    }
}

/// An address of 6, 8 or 20 bytes, with colons or hyphens between them, or dots between each two.
fn is_mac(text: &str) -> bool {
    let are = |separator: char, width: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        let is_part = |part: &&str| part.len() == width && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        counts.contains(&parts.len()) && parts.iter().all(is_part)
    };
    are(':', 2, &[6, 8, 20]) || are('-', 2, &[6, 8, 20]) || are('.', 4, &[3, 4, 10])
}

/// A duration as Go writes it (`1h30m`), or a text in which a number has a unit of time (`2 days`).
fn is_duration(text: &str) -> bool {
    static GO: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$").ok()
    });
    static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let exact = "ns|us|µs|ms|s|m|h|hr|d|w";
        let begun = "nano|micro|milli|sec|min|hour|day|week";
        Regex::new(&format!(r"(?i)[0-9]\s*(({exact})([^a-zµ]|$)|{begun})")).ok()
    });
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|regex| regex.is_match(text));
    unsigned == "0" || is(&GO, unsigned) || is(&WORDS, text)
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
        for good in
            ["0", "-1.5h", "1h30m10s", "3 days", "10µs", "P1D", "P1M", "1h-3m", "x1h", "1day", "1minx"]
        {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "h", "5", "1 fortnight", "P", "PT", "P1Y", "1sx", "1hrx", "1µ"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn what_proves_itself_is_checked() {
        for (format, good, bad) in [
            (
                "creditcard",
                &["4111 1111 1111 1111", "x4111111111111111", "378282246310005"][..],
                &["4111111111111112", "1234567890123"][..],
            ),
            (
                "isbn10",
                &["0306406152", "0-306-40615-2", "080442957X"],
                &["0306406153", "080442957x", "030640615"],
            ),
            ("isbn13", &["9780306406157", "978-0-306-40615-7"], &["9780306406158"]),
            ("isbn", &["0306406152", "9780306406157"], &["9780306406158"]),
            (
                "mac",
                &["0011.2233.4455", "00-11-22-33-44-55-66-77"],
                &["00:11-22:33:44:55", "00:11:22:33:44:55:66"],
            ),
            ("ipv4", &["01.2.3.4", "::ffff:1.2.3.4"], &["1.2.3", "1.2.3.256", "1.2.3.4 ", "1.2.3.+4"]),
            (
                "rgbcolor",
                &["rgb( 1 , 2 , 255 )"],
                &["rgb(256,0,0)", "rgb(1,2,3%)", "rgb(01,2,3)", "rgb(1,2,)"],
            ),
            ("ssn", &["111-22 3333"], &["111223333"]),
            ("byte", &["YQ=="], &["", "YQ"]),
        ] {
            good.iter().for_each(|text| assert!(text_fits(format, text), "{format} {text}"));
            bad.iter().for_each(|text| assert!(!text_fits(format, text), "{format} {text}"));
        }
    }

    #[test]
    fn names_of_hosts_and_addresses_of_mail_may_be_international() {
        for (format, good, bad) in [
            (
                "hostname",
                &["é.com", "a.b-c.com", "localhost", "1", "☃"][..],
                &["a.", "a..b", "-a", "a_b", "A.b", "a-b-c", "a.com."][..],
            ),
            (
                "email",
                &["\"A\" <a@b.c>", "<a@b.c>", "a@b", "a@é.com", "\"a b\"@c.d"],
                &["a", "a@", "@b", "a@b@c", "a b@c.d", "a..b@c", ".a@c", "a@b."],
            ),
        ] {
            good.iter().for_each(|text| assert!(text_fits(format, text), "{format} {text}"));
            bad.iter().for_each(|text| assert!(!text_fits(format, text), "{format} {text}"));
        }
    }
}
