//! Quantities: an amount with a suffix, such as `500m` or `1Gi`, and the one form in which a cluster writes each
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

/// Billionths, of which a quantity is made: nothing is finer.
const UNITS: i128 = 1_000_000_000;
const LARGEST_BINARY: i128 = i64::MAX as i128 * UNITS;
const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: &[&str] = &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// How a quantity is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// `1M`
    Decimal,
    /// `1e6`
    Exponent,
    /// `1Mi`
    Binary,
}

/// The amount of a quantity in billionths; `None` for what is none, or too large to be told.
pub(crate) fn amount(text: &str) -> Option<i128> {
    parse(text).map(|(amount, _)| amount)
}

/// As a cluster writes this quantity; `None` for what is none, or too large to be told.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (amount, form) = parse(text)?;
    let is_small = amount.abs() < 1024 * UNITS;
    match form {
        Form::Binary if !is_small && amount % UNITS == 0 => binary(amount / UNITS),
        Form::Exponent => decimal(amount, true),
        Form::Binary | Form::Decimal => decimal(amount, false),
    }
}

fn parse(text: &str) -> Option<(i128, Form)> {
    let text = text.trim();
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let (amount, form) = match BINARY.iter().position(|binary| *binary == suffix && !binary.is_empty()) {
        Some(power) => {
            let factor = 1024_i128.checked_pow(u32::try_from(power).ok()?)?;
            let amount = scaled(digits.checked_mul(factor)?, 9_i32.checked_sub(places)?)?;
            (amount.min(LARGEST_BINARY), Form::Binary)
        }
        None => {
            let (exponent, form) = exponent(suffix)?;
            (scaled(digits, exponent.checked_add(9)?.checked_sub(places)?)?, form)
        }
    };
    amount.checked_mul(sign).map(|amount| (amount, form))
}

fn exponent(suffix: &str) -> Option<(i32, Form)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(decimal, _)| *decimal == suffix) {
        return Some((*exponent, Form::Decimal));
    }
    Some((suffix.strip_prefix(['e', 'E'])?.parse().ok()?, Form::Exponent))
}

/// A number times a power of ten, rounded up to a whole one.
fn scaled(number: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    match (power >= 0, factor) {
        (true, factor) => number.checked_mul(factor?),
        (false, Some(factor)) => Some(number / factor + i128::from(number % factor != 0)),
        (false, None) => Some(i128::from(number != 0)),
    }
}

/// With as few digits as a power of a thousand leaves.
fn decimal(amount: i128, has_exponent: bool) -> Option<String> {
    if amount == 0 {
        return Some("0".to_owned());
    }
    let (mut number, mut power) = (amount, -9);
    while number % 1000 == 0 {
        number /= 1000;
        power += 3;
    }
    match DECIMAL.iter().find(|(_, exponent)| *exponent == power) {
        Some((suffix, _)) if !has_exponent => Some(format!("{number}{suffix}")),
        _ if !has_exponent => None,
        _ if power == 0 => Some(number.to_string()),
        _ => Some(format!("{number}e{power}")),
    }
}

fn binary(mut number: i128) -> Option<String> {
    let mut power = 0_usize;
    while number % 1024 == 0 && power < BINARY.len() {
        number /= 1024;
        power = power.saturating_add(1);
    }
    BINARY.get(power).map(|suffix| format!("{number}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_has_one_form_in_each_way_of_writing() {
        for (text, expected) in [
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("1025Mi", "1025Mi"),
            ("512", "512"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("0.3Mi", "314572800m"),
            ("2000k", "2M"),
            ("100000", "100k"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("10e2", "1e3"),
            ("1e0", "1"),
            ("0Gi", "0"),
            ("-0.5", "-500m"),
            ("+2", "2"),
            (" 2 ", "2"),
            ("5.", "5"),
            (".5", "500m"),
            ("0.1n", "1n"),
            ("1E", "1E"),
            ("8Ei", "9223372036854775807"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn amounts_are_compared_by_value() {
        assert_eq!(amount("1024Mi"), amount("1Gi"));
        assert!(amount("500Mi") < amount("1G"));
        for none in ["", "Gi", "1Q", "1e", "1e99"] {
            assert_eq!(amount(none), None, "{none}");
        }
    }
}
