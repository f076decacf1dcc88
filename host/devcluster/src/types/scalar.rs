//! Scalars with a syntax of their own: quantities, times, Base64. The errors are those of the real server's parsers.

/// What is wrong with a quantity, if anything.
pub(super) fn quantity_problem(text: &str) -> Option<&'static str> {
    const FORM: &str =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    const SUFFIXES: &[&str] =
        &["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end).unwrap_or_default();
    if !number.contains(|c: char| c.is_ascii_digit()) || number.matches('.').count() > 1 {
        return Some(FORM);
    }
    let is_exponent = || {
        let digits =
            suffix.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
    };
    if SUFFIXES.contains(&suffix) || is_exponent() {
        return None;
    }
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = letters.strip_prefix(['+', '-']).unwrap_or(letters);
    match digits.chars().all(|c| c.is_ascii_digit()) {
        true => Some("unable to parse quantity's suffix"),
        false => Some(FORM),
    }
}

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";
const SECONDS_LENGTH: usize = "2006-01-02T15:04:05Z".len();
const MICROSECONDS_LENGTH: usize = "2006-01-02T15:04:05.000000Z".len();

/// What is wrong with a time, if anything.
pub(super) fn time_problem(text: &str, has_micros: bool) -> Option<String> {
    let layout = if has_micros { MICROSECONDS } else { SECONDS };
    let unparsed = |rest: &str, element: &str| {
        Some(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    };
    let mut rest = text;
    for element in ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"] {
        let (head, tail) = rest.split_at_checked(element.len()).unwrap_or((rest, ""));
        let is_number = element.starts_with(|c: char| c.is_ascii_digit());
        let fits = match is_number {
            true => head.len() == element.len() && head.chars().all(|c| c.is_ascii_digit()),
            false => head == element,
        };
        if !fits {
            return unparsed(rest, element);
        }
        rest = tail;
    }
    let digits = rest.strip_prefix('.').map(|rest| rest.chars().take_while(char::is_ascii_digit).count());
    match digits {
        Some(digits) if digits == 6 || (!has_micros && digits > 0) => {
            rest = rest.get(digits.saturating_add(1)..).unwrap_or_default();
        }
        _ if has_micros => return unparsed(rest, ".000000"),
        _ => {}
    }
    if rest != "Z" && !is_offset(rest) {
        return unparsed(rest, "Z07:00");
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => None,
        Err(_) => Some(format!("parsing time {text:?}: day out of range")),
    }
}

/// How a cluster writes this time, if that is another way: in UTC, with whole seconds or six digits after them.
pub(super) fn rewritten_time(text: &str, has_micros: bool) -> Option<String> {
    let (length, format) = match has_micros {
        true => (MICROSECONDS_LENGTH, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        false => (SECONDS_LENGTH, "%Y-%m-%dT%H:%M:%SZ"),
    };
    if text.len() == length && text.ends_with('Z') {
        return None;
    }
    Some(text.parse::<jiff::Timestamp>().ok()?.strftime(format).to_string())
}

fn is_offset(text: &str) -> bool {
    let Some((hours, minutes)) = text.strip_prefix(['+', '-']).and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    [hours, minutes].iter().all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_digit()))
}

/// What is wrong with text that is to be Base64, if anything. Line breaks are no part of it.
pub(super) fn base64_problem(text: &str) -> Option<String> {
    let illegal = |at: usize| Some(format!("illegal base64 data at input byte {at}"));
    let bytes = || text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let letters = bytes().take_while(|(_, byte)| is_letter(*byte)).count();
    let mut rest = bytes().skip(letters);
    let open = letters % 4;
    let padding = match open {
        0 => 0,
        open => 4_usize.saturating_sub(open),
    };
    for done in 0..padding {
        match rest.next() {
            Some((_, b'=')) if open > 1 => {}
            Some((at, _)) => return illegal(at),
            // The data ends within a group, which began here.
            None => return illegal(text.len().saturating_sub(open).saturating_sub(done)),
        }
    }
    rest.next().and_then(|(at, _)| illegal(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_number_and_a_known_suffix() {
        for good in ["1", "0.5", "100m", "1Gi", "1.5Ki", "+2k", "-3", "1e3", "1E-2", ".5", "5.", "1E", " 2 "]
        {
            assert_eq!(quantity_problem(good), None, "{good}");
        }
        for bad in ["", "x", "Gi", "1 Gi", "1.2.3", "1Q", "true", "--1"] {
            assert!(quantity_problem(bad).is_some_and(|why| why.starts_with("quantities")), "{bad}");
        }
        for bad in ["1gi", "1mm", "1kk", "1e", "1i"] {
            let expected = if bad == "1gi" { "quantities" } else { "unable" };
            assert!(quantity_problem(bad).is_some_and(|why| why.starts_with(expected)), "{bad}");
        }
    }

    #[test]
    fn times_are_rfc_3339_and_micro_times_have_six_digits() {
        for good in ["2024-01-31T10:00:00Z", "2024-01-31T10:00:00.5Z", "2024-01-31T10:00:00+02:00"] {
            assert_eq!(time_problem(good, false), None, "{good}");
        }
        assert_eq!(time_problem("2024-01-31T10:00:00.123456Z", true), None);
        let why = time_problem("today", false).unwrap();
        let layout = "2006-01-02T15:04:05Z07:00";
        assert_eq!(
            why,
            format!("parsing time \"today\" as \"{layout}\": cannot parse \"today\" as \"2006\"")
        );
        for bad in ["2024-01-31", "2024-01-31 10:00:00Z", "2024-02-31T10:00:00Z", "2024-01-31T10:00:00"] {
            assert!(time_problem(bad, false).is_some(), "{bad}");
        }
        let why = time_problem("2024-01-31T10:00:00Z", true).unwrap();
        assert!(why.ends_with("cannot parse \"Z\" as \".000000\""), "{why}");
    }

    #[test]
    fn times_are_written_in_utc_and_cut_off() {
        for (text, has_micros, expected) in [
            ("2024-01-31T10:00:00Z", false, None),
            ("2024-01-31T10:00:00.9Z", false, Some("2024-01-31T10:00:00Z")),
            ("2024-01-31T01:00:00+02:00", false, Some("2024-01-30T23:00:00Z")),
            ("1969-12-31T23:59:58.9Z", false, Some("1969-12-31T23:59:58Z")),
            ("2024-01-31T10:00:00.000001Z", true, None),
            ("2024-01-31T10:00:00.100000-01:30", true, Some("2024-01-31T11:30:00.100000Z")),
        ] {
            assert_eq!(rewritten_time(text, has_micros).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn base64_says_where_it_breaks() {
        for good in ["", "YQ==", "YWI=", "YWJj", "YWJj\nYWJj"] {
            assert_eq!(base64_problem(good), None, "{good}");
        }
        for (bad, at) in [("not-base64!", 3), ("xyz", 0), ("YWJjYQ", 4), ("YQ==YQ==", 4), ("Y===", 1)] {
            let expected = format!("illegal base64 data at input byte {at}");
            assert_eq!(base64_problem(bad), Some(expected), "{bad}");
        }
    }
}
