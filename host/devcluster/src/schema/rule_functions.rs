//! Functions that rules have, where those of the crate that evaluates them are missing or do something else.
//!
//! An argument that cannot be had is the error of the whole call, and what a function fails for is told in a
//! cluster's words.

use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, FunctionContext, IdedExpr, ResolveResult, Value};

use super::{pattern, rule_times, rule_values};

/// Called with the value in parentheses, these are to tell what is wrong with it rather than that there is none.
const OF_A_VALUE: &[&str] =
    &["bytes", "double", "isCIDR", "isIP", "isQuantity", "isSemver", "isURL", "quantity", "uint"];

/// The functions as the crates have them.
static THEIRS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// Adds the functions to those that there are.
pub(super) fn add(context: &mut Context<'_>) {
    context.add_function("size", |call: &FunctionContext<'_, '_>| size(&value(call)?));
    context.add_function("dyn", |call: &FunctionContext<'_, '_>| value(call));
    context.add_function("bool", |call: &FunctionContext<'_, '_>| boolean(value(call)?));
    context.add_function("int", |call: &FunctionContext<'_, '_>| integer(value(call)?));
    context.add_function("string", |call: &FunctionContext<'_, '_>| string(value(call)?));
    context.add_function("sum", |call: &FunctionContext<'_, '_>| sum(value(call)?));
    context.add_function("format", |call: &FunctionContext<'_, '_>| format(value(call)?, arguments(call)?));
    context.add_function("format.named", |call: &FunctionContext<'_, '_>| named(arguments(call)?));
    context.add_function("ip", |call: &FunctionContext<'_, '_>| parsed("ip", call));
    context.add_function("cidr", |call: &FunctionContext<'_, '_>| parsed("cidr", call));
    context.add_function("semver", |call: &FunctionContext<'_, '_>| parsed("semver", call));
    context.add_function("url", |call: &FunctionContext<'_, '_>| parsed("url", call));
    context.add_function("substring", |call: &FunctionContext<'_, '_>| placed("substring", call));
    context.add_function("charAt", |call: &FunctionContext<'_, '_>| placed("charAt", call));
    context.add_function("matches", |call: &FunctionContext<'_, '_>| matches(call));
    context.add_function("lists.range", |call: &FunctionContext<'_, '_>| range(&arguments(call)?));
    for name in OF_A_VALUE.iter().copied() {
        context.add_function(name, move |call: &FunctionContext<'_, '_>| theirs(name, call));
    }
    rule_times::add(context);
}

/// Whether a text has a part that fits a pattern, which is read as where it is checked.
fn matches(call: &FunctionContext<'_, '_>) -> ResolveResult {
    let mut values: Vec<Value> = call.this.iter().cloned().collect();
    values.extend(arguments(call)?);
    match values.as_slice() {
        [Value::String(text), Value::String(wanted)] => match pattern::compile(wanted) {
            Ok(wanted) => Ok(Value::Bool(wanted.is_match(text))),
            Err(why) => Err(failure(format!("error parsing regexp: {why}"))),
        },
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// How many numbers a list of numbers may have.
const LONGEST_RANGE: i64 = 100_000;

/// The numbers from 0 up to one.
fn range(arguments: &[Value]) -> ResolveResult {
    match arguments {
        [Value::Int(end)] if *end > LONGEST_RANGE => {
            Err(failure(format!("lists.range() of more than {LONGEST_RANGE} numbers")))
        }
        [Value::Int(end)] => Ok(Value::List(Arc::new((0..*end).map(Value::Int).collect()))),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// What a function is called on, or its only argument.
pub(super) fn value(call: &FunctionContext<'_, '_>) -> ResolveResult {
    match (&call.this, call.args.first()) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(argument)) => Value::resolve(argument, call.ptx),
        (None, None) => Err(ExecutionError::NoSuchOverload),
    }
}

/// What is in the parentheses.
pub(super) fn arguments(call: &FunctionContext<'_, '_>) -> Result<Vec<Value>, ExecutionError> {
    call.args.iter().map(|argument| Value::resolve(argument, call.ptx)).collect()
}

/// What the crates' function does with the same values.
fn theirs(name: &str, call: &FunctionContext<'_, '_>) -> ResolveResult {
    delegate(name, call.this.clone(), arguments(call)?)
}

fn delegate(name: &str, this: Option<Value>, arguments: Vec<Value>) -> ResolveResult {
    let mut scope = THEIRS.new_inner_scope();
    let mut variable = |name: String, value: Value| {
        scope.add_variable_from_value(name.clone(), value);
        IdedExpr { id: 0, expr: Expr::Ident(name) }
    };
    let target = this.map(|this| Box::new(variable("value".to_owned(), this)));
    let args = arguments
        .into_iter()
        .enumerate()
        .map(|(at, value)| variable(format!("argument{at}"), value))
        .collect();
    let call = IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target, args }) };
    Value::resolve(&call, &scope)
}

/// An error in a cluster's words.
pub(super) fn failure(why: String) -> ExecutionError {
    ExecutionError::FunctionError { function: String::new(), message: why }
}

fn unconverted(value: &Value, to: &str) -> ExecutionError {
    match value {
        Value::String(_) => failure(format!("type conversion error from 'string' to '{to}'")),
        _ => ExecutionError::NoSuchOverload,
    }
}

/// A text is as long as it has characters.
fn size(value: &Value) -> ResolveResult {
    let size = match value {
        Value::List(items) => items.len(),
        Value::Map(map) => map.map.len(),
        Value::String(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn boolean(value: Value) -> ResolveResult {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(unconverted(&value, "bool")),
        },
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

fn integer(value: Value) -> ResolveResult {
    match &value {
        Value::Timestamp(time) => Ok(Value::Int(time.timestamp())),
        Value::Duration(duration) => duration
            .num_nanoseconds()
            .map(Value::Int)
            .ok_or_else(|| ExecutionError::Overflow("int", value.clone(), Value::Null)),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| unconverted(&value, "int")),
        _ => delegate("int", None, vec![value]),
    }
}

fn string(value: Value) -> ResolveResult {
    let text = match &value {
        Value::Bool(value) => value.to_string(),
        Value::Float(number) => float(*number),
        Value::Timestamp(time) => rule_times::timestamp_text(time),
        Value::Duration(duration) => rule_times::duration_text(duration),
        _ => return delegate("string", None, vec![value]),
    };
    Ok(Value::String(Arc::new(text)))
}

/// A number as Go prints it with `%g` and as few digits as tell it from all others.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// Durations add up as numbers do.
fn sum(value: Value) -> ResolveResult {
    let Value::List(items) = &value else { return Err(ExecutionError::NoSuchOverload) };
    if !matches!(items.first(), Some(Value::Duration(_))) {
        return delegate("sum", Some(value), Vec::new());
    }
    let mut total = chrono::Duration::zero();
    for item in items.iter() {
        let Value::Duration(duration) = item else { return Err(ExecutionError::NoSuchOverload) };
        total = total
            .checked_add(duration)
            .ok_or_else(|| ExecutionError::Overflow("sum", item.clone(), Value::Null))?;
    }
    Ok(Value::Duration(total))
}

/// Times and durations are written as `string()` writes them.
fn format(this: Value, arguments: Vec<Value>) -> ResolveResult {
    fn written(value: &Value) -> Value {
        match value {
            Value::Timestamp(_) | Value::Duration(_) => {
                string(value.clone()).unwrap_or_else(|_| value.clone())
            }
            Value::List(items) => Value::List(Arc::new(items.iter().map(written).collect())),
            other => other.clone(),
        }
    }
    delegate("format", Some(this), arguments.iter().map(written).collect())
}

/// A format, if there is one of that name.
fn named(arguments: Vec<Value>) -> ResolveResult {
    let Some(name @ Value::String(_)) = arguments.into_iter().next() else {
        return Err(ExecutionError::NoSuchOverload);
    };
    let found = match named_of_theirs(name)? {
        Value::Null => OptionalValue::none(),
        found => OptionalValue::of(found),
    };
    Ok(Value::Opaque(Arc::new(found)))
}

/// Their name has a namespace, which is a part of the call.
fn named_of_theirs(name: Value) -> ResolveResult {
    let mut scope = THEIRS.new_inner_scope();
    scope.add_variable_from_value("name", name);
    let ident = |name: &str| IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) };
    let call = CallExpr {
        func_name: "named".to_owned(),
        target: Some(Box::new(ident("format"))),
        args: vec![ident("name")],
    };
    Value::resolve(&IdedExpr { id: 0, expr: Expr::Call(call) }, &scope)
}

/// What is made of a text, or what a cluster says if that is none.
fn parsed(name: &'static str, call: &FunctionContext<'_, '_>) -> ResolveResult {
    // It is found once: what is nested would be found twice as often for each level.
    let of = value(call)?;
    let others = if call.this.is_some() { arguments(call)? } else { Vec::new() };
    let result = match call.this.is_some() {
        true => delegate(name, Some(of.clone()), others),
        false => delegate(name, None, vec![of.clone()]),
    };
    let (Err(error), Value::String(text)) = (&result, &of) else { return result };
    let during = "parse error during conversion from string";
    let why = match name {
        "ip" => format!("IP Address {text:?} {during}: ParseAddr({text:?}): unable to parse IP"),
        "cidr" if !text.contains('/') => {
            format!("network address {during}: network address {during}: netip.ParsePrefix({text:?}): no '/'")
        }
        "semver" if text.split('.').count() < 3 => "No Major.Minor.Patch elements found".to_owned(),
        "url" if !text.contains(':') => format!("URL {during}: parse {text:?}: invalid URI for request"),
        _ => return Err(error.clone()),
    };
    Err(failure(why))
}

/// What is at a place of a text; the error names the place that it does not have.
fn placed(name: &'static str, call: &FunctionContext<'_, '_>) -> ResolveResult {
    let (this, places) = (value(call)?, arguments(call)?);
    if let Value::String(text) = &this {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let beyond = places.iter().find_map(|place| match place {
            Value::Int(place) if *place < 0 || *place > length => Some(*place),
            _ => None,
        });
        if let Some(place) = beyond {
            return Err(failure(format!("index out of range: {place}")));
        }
    }
    delegate(name, call.this.clone(), places)
}

/// Whether a text is a duration, as `duration()` takes it.
pub(super) fn duration(value: &Value) -> ResolveResult {
    match value {
        Value::Duration(_) => Ok(value.clone()),
        Value::Int(nanos) => Ok(Value::Duration(chrono::Duration::nanoseconds(*nanos))),
        Value::String(text) => rule_values::duration(text)
            .map(Value::Duration)
            .ok_or_else(|| unconverted(value, "google.protobuf.Duration")),
        _ => Err(ExecutionError::NoSuchOverload),
    }
}

/// The point in time that a text or a number of seconds is.
pub(super) fn timestamp(value: &Value) -> ResolveResult {
    let time = match value {
        Value::Timestamp(time) => Some(*time),
        Value::Int(seconds) => chrono::DateTime::from_timestamp(*seconds, 0).map(|time| time.fixed_offset()),
        Value::String(text) => chrono::DateTime::parse_from_rfc3339(text).ok(),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    time.map(Value::Timestamp).ok_or_else(|| unconverted(value, "google.protobuf.Timestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_short_as_they_are_exact() {
        for (number, written) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
        ] {
            assert_eq!(float(number), written);
        }
    }

    #[test]
    fn a_call_says_what_is_wrong_with_its_argument() {
        let mut context = Context::default().with_all();
        add(&mut context);
        context.add_variable_from_value("self", std::collections::HashMap::<String, i64>::new());
        for rule in ["size(self.a)", "ip(self.a)", "string(self.a)", "quantity(self.a)", "isIP(self.a)"] {
            let program = kube_cel::cel::Program::compile(rule).unwrap();
            assert_eq!(program.execute(&context), Err(ExecutionError::no_such_key("a")), "{rule}");
        }
    }
}
