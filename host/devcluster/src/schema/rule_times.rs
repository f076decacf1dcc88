//! What rules can do with points in time and durations.

use chrono::{DateTime, Datelike, FixedOffset, Timelike, Utc};
use kube_cel::cel::{Context, ExecutionError, FunctionContext, ResolveResult, Value};

use super::rule_functions::{arguments, duration, failure, timestamp, value};

type Time = DateTime<FixedOffset>;

/// Where a system keeps what it knows of time zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// What a function tells of a point in time.
type Part = fn(&Time) -> u32;

const PARTS: &[(&str, Part)] = &[
    ("getDate", |time| time.day()),
    ("getDayOfMonth", |time| time.day0()),
    ("getDayOfWeek", |time| time.weekday().num_days_from_sunday()),
    ("getDayOfYear", |time| time.ordinal0()),
    ("getFullYear", |time| u32::try_from(time.year()).unwrap_or_default()),
    ("getMonth", |time| time.month0()),
    ("getHours", |time| time.hour()),
    ("getMinutes", |time| time.minute()),
    ("getSeconds", |time| time.second()),
    ("getMilliseconds", |time| time.timestamp_subsec_millis()),
];

pub(super) fn add(context: &mut Context<'_>) {
    context.add_function("duration", |call: &FunctionContext<'_, '_>| duration(&value(call)?));
    context.add_function("timestamp", |call: &FunctionContext<'_, '_>| timestamp(&value(call)?));
    for (name, part) in PARTS.iter().copied() {
        context.add_function(name, move |call: &FunctionContext<'_, '_>| get(name, part, call));
    }
}

fn get(name: &str, part: Part, call: &FunctionContext<'_, '_>) -> ResolveResult {
    let time = match value(call)? {
        Value::Timestamp(time) => time,
        Value::Duration(duration) => {
            return match name {
                "getHours" => Ok(Value::Int(duration.num_hours())),
                "getMinutes" => Ok(Value::Int(duration.num_minutes())),
                "getSeconds" => Ok(Value::Int(duration.num_seconds())),
                "getMilliseconds" => Ok(Value::Int(duration.num_milliseconds())),
                _ => Err(ExecutionError::NoSuchOverload),
            };
        }
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    let there = match arguments(call)?.first() {
        None => Some(time.with_timezone(&Utc).fixed_offset()),
        Some(Value::String(zone)) => Some(in_zone(time, zone)?),
        Some(_) => None,
    };
    there.map(|time| Value::Int(part(&time).into())).ok_or(ExecutionError::NoSuchOverload)
}

/// The time on the clocks of a zone, which is an offset such as `-02:00` or a name.
fn in_zone(time: Time, zone: &str) -> Result<Time, ExecutionError> {
    let seconds = match zone.contains(':') {
        true => offset(zone),
        false => offset_of_name(time, zone),
    };
    let offset = seconds.and_then(FixedOffset::east_opt);
    offset
        .map(|offset| time.with_timezone(&offset))
        .ok_or_else(|| failure(format!("unknown time zone {zone}")))
}

fn offset(text: &str) -> Option<i32> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = unsigned.split_once(':')?;
    let minutes = hours.parse::<i32>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    minutes.checked_mul(60)?.checked_mul(sign)
}

fn offset_of_name(time: Time, name: &str) -> Option<i32> {
    if matches!(name, "" | "UTC") {
        return Some(0);
    }
    // It becomes a path.
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if !name.split('/').all(is_plain) {
        return None;
    }
    let data = std::fs::read(std::path::Path::new(ZONES).join(name)).ok()?;
    let zone = jiff::tz::TimeZone::tzif(name, &data).ok()?;
    let at = jiff::Timestamp::from_second(time.timestamp()).ok()?;
    Some(zone.to_offset(at).seconds())
}

/// A point in time as `string()` writes it, in the zone that it was given in.
pub(super) fn timestamp_text(time: &Time) -> String {
    let whole = time.format("%Y-%m-%dT%H:%M:%S");
    let zone =
        if time.offset().local_minus_utc() == 0 { "Z".to_owned() } else { time.format("%:z").to_string() };
    // Only as many digits as there are.
    let fraction = format!("{:09}", time.timestamp_subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{zone}"),
        fraction => format!("{whole}.{fraction}{zone}"),
    }
}

/// A duration as `string()` writes it: in seconds.
pub(super) fn duration_text(duration: &chrono::Duration) -> String {
    let nanos = duration.num_nanoseconds().unwrap_or(i64::MAX);
    let (whole, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = format!("{fraction:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}s"),
        fraction => format!("{sign}{whole}.{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_written_with_as_many_digits_as_they_have() {
        let time = DateTime::parse_from_rfc3339("2024-01-02T03:04:05.250+02:00").unwrap();
        assert_eq!(timestamp_text(&time), "2024-01-02T03:04:05.25+02:00");
        let time = DateTime::parse_from_rfc3339("2024-01-02T03:04:05Z").unwrap();
        assert_eq!(timestamp_text(&time), "2024-01-02T03:04:05Z");
        assert_eq!(duration_text(&chrono::Duration::milliseconds(-1500)), "-1.5s");
        assert_eq!(duration_text(&chrono::Duration::minutes(90)), "5400s");
    }

    #[test]
    fn a_zone_is_an_offset_or_a_name_and_no_path() {
        let time = DateTime::parse_from_rfc3339("2024-01-02T03:04:05Z").unwrap();
        assert_eq!(in_zone(time, "-02:30").unwrap().to_rfc3339(), "2024-01-02T00:34:05-02:30");
        assert_eq!(in_zone(time, "UTC").unwrap().hour(), 3);
        for zone in ["nowhere", "../../../etc/hostname", "/etc/hostname"] {
            assert!(in_zone(time, zone).is_err(), "{zone}");
        }
    }
}
