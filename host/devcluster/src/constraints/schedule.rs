//! The schedule of a CronJob: five fields of numbers, ranges and steps, or one of the names for common ones
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>).

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const NAMES: &[&str] = &["@annually", "@daily", "@hourly", "@midnight", "@monthly", "@weekly", "@yearly"];
const UNITS: &[&str] = &["h", "m", "s", "ms", "us", "µs", "μs", "ns"];

/// The least and the largest number of a field, and what the numbers from the least on are called.
type Bounds = (u64, u64, &'static [&'static str]);

const FIELDS: [Bounds; 5] = [(0, 59, &[]), (0, 23, &[]), (1, 31, &[]), (1, 12, MONTHS), (0, 6, DAYS)];

/// What is wrong with a schedule, if anything.
pub(super) fn problem(schedule: &str) -> Option<String> {
    if schedule.contains("TZ") {
        return Some("cannot use TZ or CRON_TZ in schedule, use timeZone field instead".to_owned());
    }
    if let Some(interval) = schedule.strip_prefix("@every ") {
        let why = duration_problem(interval)?;
        return Some(format!("failed to parse duration {schedule}: time: {why}"));
    }
    if schedule.starts_with('@') {
        let is_known = NAMES.contains(&schedule);
        return (!is_known).then(|| format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let ranges = |field: &'static Bounds, text: &str| -> Option<String> {
        text.split(',').filter(|part| !part.is_empty()).find_map(|part| range_problem(part, field).err())
    };
    FIELDS.iter().zip(fields).find_map(|(field, text)| ranges(field, text))
}

/// Checks `*`, `5`, `1-5` or `mon`, with a step such as `/2` or without.
fn range_problem(text: &str, (least, largest, names): &Bounds) -> Result<(), String> {
    let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
    let (first, last) = range.split_once('-').map_or((range, None), |(first, last)| (first, Some(last)));
    let (start, mut end) = match (first, last) {
        ("*" | "?", _) => (*least, *largest),
        (first, None) => {
            let start = number_or_name(first, *least, names)?;
            (start, start)
        }
        (_, Some(last)) if last.contains('-') => return Err(format!("too many hyphens: {text}")),
        (first, Some(last)) => (number_or_name(first, *least, names)?, number_or_name(last, *least, names)?),
    };
    let step = match step {
        None => 1,
        Some(step) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some(step) => number(step)?,
    };
    if text.contains('/') && last.is_none() {
        end = *largest;
    }
    if start < *least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {text}"));
    }
    if end > *largest {
        return Err(format!("end of range ({end}) above maximum ({largest}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    match step {
        0 => Err(format!("step of range should be a positive number: {text}")),
        _ => Ok(()),
    }
}

fn number_or_name(text: &str, least: u64, names: &[&str]) -> Result<u64, String> {
    let lower = text.to_lowercase();
    let place = names.iter().position(|name| *name == lower);
    match place.and_then(|place| u64::try_from(place).ok()) {
        Some(place) => Ok(least.saturating_add(place)),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let invalid =
        || format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax");
    let number: i64 = text.parse().map_err(|_| invalid())?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

/// What is wrong with a duration such as `1h30m`, if anything.
pub(crate) fn duration_problem(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut rest = unsigned;
    let invalid = || Some(format!("invalid duration {text:?}"));
    if unsigned.is_empty() {
        return invalid();
    }
    while rest != "0" && !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let after = rest.trim_start_matches(is_number);
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        match unit {
            _ if after.len() == rest.len() => return invalid(),
            "" => return Some(format!("missing unit in duration {text:?}")),
            unit if !UNITS.contains(&unit) => {
                return Some(format!("unknown unit {unit:?} in duration {text:?}"));
            }
            _ => rest = next,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn what_a_cluster_runs_by_is_a_schedule() {
        for schedule in [
            "*/5 * * * *",
            "@hourly",
            "@every 1h30m",
            "@every -1m",
            "0 0 * jan MON",
            "5/15 * * * *",
            "1,2,3-5/2 * * * *",
            "  0 0 ? * 6",
            "*/100 *-5 * * *",
        ] {
            assert_eq!(problem(schedule), None, "{schedule}");
        }
    }

    #[test]
    fn a_schedule_is_refused_for_its_first_fault() {
        for (schedule, expected) in [
            ("nope", "expected exactly 5 fields, found 1: [nope]"),
            ("@reboot", "unrecognized descriptor: @reboot"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("0 0 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("1-0 * * * *", "beginning of range (1) beyond end of range (0): 1-0"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
            ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ] {
            assert_eq!(problem(schedule).as_deref(), Some(expected), "{schedule}");
        }
    }
}
