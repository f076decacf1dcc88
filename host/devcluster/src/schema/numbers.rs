//! The form of numbers in custom resources: what is whole is written so, and what has more than 63 bits is as exact as
//! a floating-point number.

use serde_json::{Number, Value};

/// Brings the numbers of a value into their form.
pub(super) fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(settled) = settled(number) {
                *number = settled;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Object(map) => map.values_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The form of a number that has another one.
fn settled(number: &Number) -> Option<Number> {
    if number.is_i64() {
        return None;
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    // Written out, with zeros for what it does not know.
    let text = if float == 0.0 { "0".to_owned() } else { format!("{float}") };
    let whole = text.parse::<i64>().map(Number::from);
    whole.or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_as_such() {
        for (written, settled) in [
            ("1.0", "1"),
            ("1e3", "1000"),
            ("-0.0", "0"),
            ("-2.0", "-2"),
            ("1.5", "1.5"),
            ("12345678901234567890", "12345678901234567000"),
            ("9223372036854775807", "9223372036854775807"),
            ("{\"a\":[1.0]}", "{\"a\":[1]}"),
        ] {
            let mut value: Value = serde_json::from_str(written).unwrap();
            settle(&mut value);
            assert_eq!(value.to_string(), settled);
        }
    }
}
