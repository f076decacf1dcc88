//! What rules are refused for when a definition is written.

use serde_json::{Value, json};

use super::rule_budget::Budget;
use super::typing::{self, Found, Limits, Outcome, Subject};
use super::{is_true, rule_parse, text};
use crate::error::Cause;

const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// Adds a cause for every rule of a schema, and below, that is not to be had.
pub(crate) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let limits = Limits::default();
    let root = Place { path, is_root: true, apart: None, times: Some(1), limits: &limits };
    walk(schema, root, &mut |checked, rule, path| checked.texts(rule, path, causes));
    // What else is wrong with a schema comes first: where that is, its types may not be what they are meant to be.
    let mut wrong: Vec<String> = causes.iter().map(|cause| cause.field.clone()).collect();
    wrong.sort();
    let is_wrong = |path: &str| {
        let after = wrong.partition_point(|field| field.as_str() < path);
        wrong.get(after).is_some_and(|field| field.starts_with(path))
    };
    let mut budget = Budget::default();
    walk(schema, root, &mut |checked, rule, path| {
        if !is_wrong(checked.place.path) {
            checked.expressions(rule, path, &mut budget, causes);
        }
    });
    causes.extend(budget.causes(path));
}

fn walk(schema: &Value, place: Place<'_>, judge: &mut impl FnMut(&Checked<'_>, &Value, &str)) {
    let path = place.path;
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let optional_old = is_true(rule, "optionalOldSelf");
        let rule_path = format!("{path}.x-kubernetes-validations[{index}]");
        judge(&Checked { schema, place, optional_old }, rule, &rule_path);
    }
    let times = place.times.and_then(|times| Some(times.saturating_mul(typing::multiple(schema)?)));
    let below = Place { is_root: false, times, ..place };
    let of_map = place.apart.or_else(|| (text(schema, "x-kubernetes-map-type") == "atomic").then_some(path));
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(field, Place { path: &format!("{path}.properties[{name}]"), apart: of_map, ..below }, judge);
    }
    if let Some(item) = schema.get("items").filter(|item| item.is_object()) {
        let of_list =
            place.apart.or_else(|| (text(schema, "x-kubernetes-list-type") != "map").then_some(path));
        walk(item, Place { path: &format!("{path}.items"), apart: of_list, ..below }, judge);
    }
    if let Some(extra) = schema.get("additionalProperties").filter(|extra| extra.is_object()) {
        walk(extra, Place { path: &format!("{path}.additionalProperties"), apart: of_map, ..below }, judge);
    }
}

/// Where a schema is.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    is_root: bool,
    /// The list or map whose items, this one among them, cannot be told apart from one state to the next.
    apart: Option<&'a str>,
    /// How many values of the schema an object has at most, if the schemas above it tell.
    times: Option<u64>,
    limits: &'a Limits,
}

/// Where a rule is.
struct Checked<'a> {
    schema: &'a Value,
    place: Place<'a>,
    optional_old: bool,
}

impl Checked<'_> {
    /// All but the expressions of a rule.
    fn texts(&self, rule: &Value, path: &str, causes: &mut Vec<Cause>) {
        let (expression, message) = (text(rule, "rule"), text(rule, "message"));
        if expression.trim().is_empty() {
            causes.push(Cause::required(format!("{path}.rule"), "rule is not specified"));
            return;
        }
        if rule.get("message").is_some() && message.trim().is_empty() {
            let why = "message must be non-empty if specified";
            causes.push(Cause::invalid(format!("{path}.message"), &json!(message), why));
        } else if message.trim().contains('\n') {
            let why = "message must not contain line breaks";
            causes.push(Cause::invalid(format!("{path}.message"), &json!(message), why));
        } else if message.is_empty() && expression.trim().contains('\n') {
            let why = "message must be specified if rule contains line breaks";
            causes.push(Cause::required(format!("{path}.message"), why));
        }
        let reason = text(rule, "reason");
        if !reason.is_empty() && !REASONS.contains(&reason) {
            let supported: Vec<Value> = REASONS.iter().map(|one| json!(one)).collect();
            causes.push(Cause::unsupported(format!("{path}.reason"), &json!(reason), &supported));
        }
        let field_path = text(rule, "fieldPath");
        if !field_path.is_empty() && !has_field(self.schema, field_path) {
            let why = "fieldPath must be a valid path: does not refer to a valid field";
            causes.push(Cause::invalid(format!("{path}.fieldPath"), &json!(field_path), why));
        }
    }

    fn expressions(&self, rule: &Value, path: &str, budget: &mut Budget, causes: &mut Vec<Cause>) {
        let compares = self.expression(rule, "rule", path, budget, causes);
        if let (Some(set), None | Some(false)) =
            (rule.get("optionalOldSelf").and_then(Value::as_bool), compares)
        {
            let why = "may not be set if oldSelf is not used in rule";
            causes.push(Cause::invalid(format!("{path}.optionalOldSelf"), &json!(set), why));
        }
        if compares.is_some() && !text(rule, "messageExpression").is_empty() {
            self.expression(rule, "messageExpression", path, budget, causes);
        }
    }

    /// Whether the expression in a field of a rule compares with the state before; `None` if it cannot be had at all.
    fn expression(
        &self,
        rule: &Value,
        field: &str,
        path: &str,
        budget: &mut Budget,
        causes: &mut Vec<Cause>,
    ) -> Option<bool> {
        let (expression, path) = (text(rule, field), format!("{path}.{field}"));
        let (wanted, failed, other) = match field {
            "rule" => (Outcome::Bool, "compilation failed", "cel expression must evaluate to a bool"),
            _ => (
                Outcome::Text,
                "messageExpression compilation failed",
                "messageExpression must evaluate to a string",
            ),
        };
        if expression.len() > rule_parse::LONGEST_RULE {
            causes.push(Cause::too_long(&path, 16 * 1024));
            return None;
        }
        let why = match self.outcome(expression) {
            Ok((found, compares)) if found.outcome == wanted || found.outcome == Outcome::Unsure => {
                let times = match field {
                    "rule" => self.place.times.unwrap_or_else(|| self.place.limits.most(self.schema)),
                    _ => 1,
                };
                causes.extend(budget.spend(field, &path, found.cost.saturating_mul(times)));
                if let (true, "rule", Some(apart)) = (compares, field, self.place.apart) {
                    let why = "oldSelf cannot be used on the uncorrelatable portion of the schema";
                    causes.push(Cause::invalid(path, &json!(expression), &format!("{why} within {apart}")));
                }
                return Some(compares);
            }
            Ok(_) => other.to_owned(),
            Err(why) => format!("{failed}: {why}"),
        };
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {}: {why}", shown(rule)),
            field: path,
        });
        None
    }

    /// What an expression makes, and whether it compares with the state before; the error says what is wrong.
    fn outcome(&self, expression: &str) -> Result<(Found, bool), String> {
        let tree = rule_parse::parse(expression)?;
        let subject = Subject {
            schema: self.schema,
            is_root: self.place.is_root,
            optional_old: self.optional_old,
            limits: self.place.limits,
        };
        let found = typing::check(subject, &tree, expression.len())
            .map_err(|problems| rule_parse::report(expression, &problems))?;
        Ok((found, tree.references().has_variable("oldSelf")))
    }
}

/// A rule as the real server shows it in a refusal.
fn shown(rule: &Value) -> String {
    let fields = [
        ("Rule", json!(text(rule, "rule"))),
        ("Message", json!(text(rule, "message"))),
        ("MessageExpression", json!(text(rule, "messageExpression"))),
        ("Reason", rule.get("reason").cloned().unwrap_or_default()),
        ("FieldPath", json!(text(rule, "fieldPath"))),
        ("OptionalOldSelf", rule.get("optionalOldSelf").cloned().unwrap_or_default()),
    ];
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    // Go writes these so that they cannot be taken for HTML.
    let escaped = fields.join(",").replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    format!("{{{escaped}}}")
}

/// Whether a path such as `.a.b` or `['a.b']` leads to a field.
fn has_field(schema: &Value, path: &str) -> bool {
    let (mut schema, mut rest) = (schema, path);
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix("['") {
            let Some(found) = quoted.split_once("']") else { return false };
            found
        } else {
            let Some(plain) = rest.strip_prefix('.') else { return false };
            plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))
        };
        match super::field_schema(schema, name) {
            Some(field) => (schema, rest) = (field, after),
            None => return false,
        }
    }
    true
}
