//! The rules that are about one value alone, as tables: where it is, and what it has to be.

use std::net::IpAddr;

use serde_json::Value;

use super::LARGEST_PORT;
use crate::error::Cause;
use crate::object::Json;
use crate::types;
use crate::validate;

/// What a value has to be, if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// One of these words.
    OneOf(&'static [&'static str]),
    NotNegative,
    /// A number, or a part of a hundred, of nothing or more.
    Count,
    /// More than nothing; why.
    Positive(&'static str),
    /// A number from the first to the second; why.
    Within(i64, i64, &'static str),
    /// The number of a user or a group.
    Id,
    /// Access bits of a file.
    Mode,
    Port,
    /// A number of a port, or the name of one.
    PortOrName,
    PortName,
    /// A text or a list that is not empty; why. It has to be there if what it is in is.
    Present(&'static str),
    Subdomain,
    Label,
    /// A name with a domain or without one.
    Qualified,
    /// A map of labels.
    Labels,
    Address,
    Network,
    /// A path that does not lead upwards.
    Downwards,
    /// A path from the root.
    Absolute,
    /// A name of DNS, which may begin with `*.`, and no address.
    HostName,
    Trimmed,
    /// A quantity of nothing or more.
    Quantity,
    /// A map of such quantities.
    Quantities,
}

/// A path below where the table is about, in which `[]` stands for each item, and what is there.
pub(super) type Rule = (&'static str, Check);

const PATHS: &str = "must not contain '..'";
const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                       regex used for validation is '[0-9]+%')";
const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Checks an object by a table.
pub(super) fn check_object(json: &Json, rules: &[Rule], causes: &mut Vec<Cause>) {
    for (path, check) in rules {
        Place { at: "", path, check: *check }.follow(&|field| json.get(field), causes);
    }
}

/// Checks a value by a table; `at` is where it is.
pub(super) fn check(value: &Value, at: &str, rules: &[Rule], causes: &mut Vec<Cause>) {
    for (path, check) in rules {
        Place { at, path, check: *check }.follow(&|field| value.get(field), causes);
    }
}

/// Where a walk has come to, and what is left of its path.
struct Place<'a> {
    at: &'a str,
    path: &'a str,
    check: Check,
}

impl Place<'_> {
    /// Takes the next step; `get` has the fields of what is here.
    fn follow<'v>(&self, get: &dyn Fn(&str) -> Option<&'v Value>, causes: &mut Vec<Cause>) {
        let Self { at, path, check } = *self;
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        let (field, is_list) = match step.strip_suffix("[]") {
            Some(field) => (field, true),
            None => (step, false),
        };
        let at = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
        let found = get(field).filter(|found| !found.is_null());
        let mut go_on = |at: String, found: Option<&Value>| match (rest, found) {
            ("", found) => judge(found, at, check, causes),
            (rest, Some(found)) => {
                Place { at: &at, path: rest, check }.follow(&|field| found.get(field), causes)
            }
            (_, None) => {}
        };
        if is_list {
            let items = found.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            items.iter().enumerate().for_each(|(index, item)| go_on(format!("{at}[{index}]"), Some(item)));
        } else {
            go_on(at, found);
        }
    }
}

fn judge(value: Option<&Value>, at: String, check: Check, causes: &mut Vec<Cause>) {
    if let Check::Present(why) = check {
        let is_empty = match value {
            None => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        };
        if is_empty {
            causes.push(Cause::required(at, why));
        }
        return;
    }
    let Some(value) = value else { return };
    match (check, value) {
        (Check::Labels, Value::Object(map)) => {
            for (key, label) in map {
                let problems = validate::label_key_problems(key).into_iter();
                causes.extend(problems.map(|why| Cause::invalid(&at, &key.as_str().into(), why)));
                if let Some(why) = label.as_str().and_then(validate::label_value_problem) {
                    causes.push(Cause::invalid(&at, label, why));
                }
            }
        }
        (Check::Quantities, Value::Object(map)) => {
            for (name, amount) in map {
                judge(Some(amount), format!("{at}[{name}]"), Check::Quantity, causes);
            }
        }
        (Check::OneOf(words), Value::String(text)) if text.is_empty() || words.contains(&text.as_str()) => {}
        (Check::OneOf(words), Value::String(_)) => {
            let words: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
            causes.push(Cause::unsupported(at, value, &words));
        }
        (check, Value::String(text)) if !text.is_empty() => {
            causes.extend(text_problems(check, text).into_iter().map(|why| Cause::invalid(&at, value, why)));
        }
        (check, Value::Number(number)) => {
            if let Some(why) = number.as_i64().and_then(|number| number_problem(check, number)) {
                causes.push(Cause::invalid(at, value, &why));
            }
        }
        _ => {}
    }
}

fn number_problem(check: Check, number: i64) -> Option<String> {
    let within = |least: i64, most: i64| (least..=most).contains(&number);
    match check {
        Check::NotNegative | Check::Count => (number < 0).then(|| NOT_NEGATIVE.to_owned()),
        Check::Positive(why) => (number <= 0).then(|| why.to_owned()),
        Check::Within(least, most, why) => (!within(least, most)).then(|| why.to_owned()),
        Check::Id => {
            let most = i64::from(i32::MAX);
            (!within(0, most)).then(|| format!("must be between 0 and {most}, inclusive"))
        }
        Check::Mode => {
            let why = "must be a number between 0 and 0777 (octal), both inclusive";
            (!within(0, 0o777)).then(|| why.to_owned())
        }
        Check::Port | Check::PortOrName => {
            let why = format!("must be between 1 and {LARGEST_PORT}, inclusive");
            (!within(1, LARGEST_PORT)).then_some(why)
        }
        _ => None,
    }
}

fn text_problems(check: Check, text: &str) -> Vec<&'static str> {
    let unless = |is_fit: bool, why: &'static str| if is_fit { Vec::new() } else { vec![why] };
    match check {
        Check::Subdomain => validate::subdomain_problems(text),
        Check::Label => validate::dns_label_problems(text),
        Check::Qualified => validate::label_key_problems(text),
        Check::PortOrName | Check::PortName => port_name_problems(text),
        Check::Address => unless(text.parse::<IpAddr>().is_ok(), IP),
        Check::Network => unless(is_network(text), CIDR),
        Check::Absolute => unless(text.starts_with('/'), "must be an absolute path"),
        Check::HostName if text.parse::<IpAddr>().is_ok() => vec!["must be a DNS name, not an IP address"],
        Check::HostName => validate::subdomain_problems(text.strip_prefix("*.").unwrap_or(text)),
        Check::Count => match text.strip_suffix('%').map(str::parse::<u32>) {
            Some(Ok(0..=100)) => Vec::new(),
            Some(Ok(_)) => vec!["must not be greater than 100%"],
            _ => vec![PERCENT],
        },
        Check::Downwards => unless(text.split('/').all(|part| part != ".."), PATHS),
        Check::Trimmed => unless(text.trim() == text, "must not have leading or trailing whitespace"),
        Check::Quantity => unless(types::amount(text).is_none_or(|amount| amount >= 0), NOT_NEGATIVE),
        _ => Vec::new(),
    }
}

/// Whether the text is a network such as `10.0.0.0/8`.
pub(super) fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// What is wrong with the name of a port (RFC 6335, section 5.1).
fn port_name_problems(name: &str) -> Vec<&'static str> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut problems = Vec::new();
    for (is_wrong, why) in [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            !name.chars().all(is_allowed),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!name.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen"),
    ] {
        if is_wrong {
            problems.push(why);
        }
    }
    problems
}
