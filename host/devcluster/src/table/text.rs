//! How cells are written: ages, labels, selectors, lists of names.

use serde_json::{Number, Value, json};

use crate::object::{self, Json};
use crate::selector::LabelSelector;

pub(super) use crate::object::{field, has_condition, items};

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// The text at a path, or a word for its absence.
pub(super) fn text_or(json: &Json, path: &[&str], absent: &str) -> Value {
    match object::text(json, path) {
        "" => json!(absent),
        text => json!(text),
    }
}

pub(super) fn number(json: &Json, path: &[&str]) -> i64 {
    object::at(json, path).and_then(Value::as_i64).unwrap_or(0)
}

/// A number without its fraction.
pub(super) fn whole(number: &Number) -> Value {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => json!(whole),
        (None, Some(number)) => {
            format!("{:.0}", number.trunc()).parse::<i64>().map_or(Value::Null, Value::from)
        }
        (None, None) => Value::Null,
    }
}

/// A number as Go writes it: without a fraction of nothing.
pub(super) fn shortest(number: &Number) -> Number {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 => whole(number).as_i64().map(Number::from),
        _ => None,
    }
    .unwrap_or_else(|| number.clone())
}

/// A map as `a=b,c=d`.
pub(super) fn labels(map: Option<&Value>) -> Value {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!(or_none(&pairs.join(",")))
}

/// A label selector with labels and expressions.
pub(super) fn selector(selector: Option<&Value>) -> Value {
    let selector = selector.and_then(Value::as_object).map(LabelSelector::of).unwrap_or_default();
    json!(or_none(&selector.to_string()))
}

/// Names and images of the containers of a pod specification.
pub(super) fn containers(json: &Json, path: &[&str]) -> [Value; 2] {
    let path: Vec<&str> = path.iter().copied().chain(["containers"]).collect();
    let list = |name: &str| {
        let texts: Vec<&str> = items(json, &path).iter().map(|container| field(container, name)).collect();
        json!(texts.join(","))
    };
    [list("name"), list("image")]
}

/// The first three of a list, and how many more there are.
pub(super) fn few(list: &[String], absent: &str) -> String {
    let more = list.len().saturating_sub(3);
    let first: Vec<&str> = list.iter().take(3).map(String::as_str).collect();
    match (list.is_empty(), more) {
        (true, _) => absent.to_owned(),
        (false, 0) => first.join(","),
        (false, more) => format!("{} + {more} more...", first.join(",")),
    }
}

/// The age that a stamp at a path has, or a word for its absence.
pub(super) fn since(json: &Json, path: &[&str], absent: &str) -> Value {
    match object::text(json, path) {
        "" => json!(absent),
        stamp => json!(age_of(stamp)),
    }
}

/// How long ago a time was, as kubectl writes it: `45s`, `5m10s`, `3h`, `12d`, `2y70d`.
pub(super) fn age_of(stamp: &str) -> String {
    let Ok(then) = stamp.parse::<jiff::Timestamp>() else { return "<unknown>".to_owned() };
    human(crate::clock::timestamp().as_second().saturating_sub(then.as_second()).max(0))
}

pub(super) fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, expected) in [
            (5, "5s"),
            (119, "119s"),
            (310, "5m10s"),
            (600, "10m"),
            (7200, "120m"),
            (90_000, "25h"),
            (864_000, "10d"),
            (729 * 86_400, "729d"),
            (730 * 86_400, "2y"),
            (800 * 86_400, "2y70d"),
            (3_300 * 86_400, "9y"),
        ] {
            assert_eq!(human(seconds), expected);
        }
    }
}
