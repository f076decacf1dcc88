//! What rules are refused for when a definition is written.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use serde_json::{Value, json};

use super::{is_true, rule_parse, rule_values, text};
use crate::error::Cause;

/// How long an expression may be. The real server has a budget of estimated steps instead.
const LONGEST_RULE: usize = 16 * 1024;
const REASONS: &[&str] =
    &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// First parts of the names of functions, and the names of types.
const KNOWN: &[&str] = &[
    "base64",
    "bool",
    "bytes",
    "cidr",
    "double",
    "dyn",
    "format",
    "google",
    "int",
    "ip",
    "list",
    "map",
    "math",
    "null_type",
    "optional",
    "quantity",
    "semver",
    "sets",
    "string",
    "strings",
    "timestamp",
    "duration",
    "type",
    "uint",
    "url",
];

/// Adds a cause for every rule of a schema, and below, that is not to be had.
pub(crate) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    walk(schema, path, true, None, causes);
}

/// `apart` is the list or map whose items, this one among them, cannot be told apart from one state to the next.
fn walk(schema: &Value, path: &str, is_root: bool, apart: Option<&str>, causes: &mut Vec<Cause>) {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let path = format!("{path}.x-kubernetes-validations[{index}]");
        Checked { schema, is_root, apart, optional_old: is_true(rule, "optionalOldSelf") }
            .rule(rule, &path, causes);
    }
    let of_map = apart.or_else(|| (text(schema, "x-kubernetes-map-type") == "atomic").then_some(path));
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(field, &format!("{path}.properties[{name}]"), false, of_map, causes);
    }
    if let Some(item) = schema.get("items").filter(|item| item.is_object()) {
        let of_list = apart.or_else(|| (text(schema, "x-kubernetes-list-type") != "map").then_some(path));
        walk(item, &format!("{path}.items"), false, of_list, causes);
    }
    if let Some(extra) = schema.get("additionalProperties").filter(|extra| extra.is_object()) {
        walk(extra, &format!("{path}.additionalProperties"), false, of_map, causes);
    }
}

/// Where a rule is.
struct Checked<'a> {
    schema: &'a Value,
    is_root: bool,
    apart: Option<&'a str>,
    optional_old: bool,
}

/// What is known of a value in an expression: its schema, and whether it is the object itself.
type Known<'a> = Option<(&'a Value, bool)>;

impl<'a> Checked<'a> {
    fn rule(&self, rule: &Value, path: &str, causes: &mut Vec<Cause>) {
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
        let compares = self.expression(expression, &format!("{path}.rule"), causes);
        if self.optional_old && compares == Some(false) {
            let why = "may not be set if oldSelf is not used in rule";
            causes.push(Cause::invalid(format!("{path}.optionalOldSelf"), &json!(true), why));
        }
        let message_expression = text(rule, "messageExpression");
        if !message_expression.is_empty() {
            self.expression(message_expression, &format!("{path}.messageExpression"), causes);
        }
    }

    /// Whether the expression compares with the state before; `None` if it cannot be had at all.
    fn expression(&self, expression: &str, path: &str, causes: &mut Vec<Cause>) -> Option<bool> {
        if expression.len() > LONGEST_RULE {
            causes.push(Cause::too_long(path, 16 * 1024));
            return None;
        }
        let mut refuse = |why: &str| causes.push(Cause::invalid(path, &json!(expression), why));
        let tree = match rule_parse::parse(expression) {
            Ok(tree) => tree,
            Err(why) => {
                refuse(&format!("compilation failed: {why}"));
                return None;
            }
        };
        if let Err(why) = self.known(&tree, &mut Vec::new()) {
            refuse(&format!("compilation failed: ERROR: <input>:1:1: {why}"));
            return None;
        }
        let compares = tree.references().has_variable("oldSelf");
        if let (true, Some(apart)) = (compares, self.apart) {
            let why = "oldSelf cannot be used on the uncorrelatable portion of the schema";
            refuse(&format!("{why} within {apart}"));
        }
        Some(compares)
    }

    /// What is known of the value of an expression; the error names what does not exist.
    fn known(&self, expr: &IdedExpr, scope: &mut Vec<(String, Known<'a>)>) -> Result<Known<'a>, String> {
        match &expr.expr {
            Expr::Ident(name) => match scope.iter().rev().find(|(known, _)| known == name) {
                Some((_, known)) => Ok(*known),
                None if name == "self" => Ok(Some((self.schema, self.is_root))),
                None if name == "oldSelf" && self.optional_old => Ok(None),
                None if name == "oldSelf" => Ok(Some((self.schema, self.is_root))),
                None if KNOWN.contains(&name.trim_start_matches('.')) => Ok(None),
                None => Err(format!("undeclared reference to '{name}' (in container '')")),
            },
            Expr::Select(select) => match self.known(&select.operand, scope)? {
                Some((schema, is_object)) => field(schema, is_object, &select.field),
                None => Ok(None),
            },
            Expr::Call(call) => {
                let target = call.target.as_ref().map(|target| self.known(target, scope)).transpose()?;
                let mut known = target.into_iter().collect::<Vec<_>>();
                for arg in &call.args {
                    known.push(self.known(arg, scope)?);
                }
                let of_item = |known: &Known<'a>| known.and_then(|(schema, _)| item(schema));
                Ok(if call.func_name == "_[_]" { known.first().and_then(of_item) } else { None })
            }
            Expr::Comprehension(all) => {
                let range = self.known(&all.iter_range, scope)?;
                self.known(&all.accu_init, scope)?;
                let depth = scope.len();
                // Over a map, the variable is a key.
                let of_list = range.filter(|(schema, _)| schema.get("items").is_some());
                let item = of_list.and_then(|(schema, _)| item(schema));
                match &all.iter_var2 {
                    Some(second) => scope.extend([(all.iter_var.clone(), None), (second.clone(), item)]),
                    None => scope.push((all.iter_var.clone(), item)),
                }
                scope.push((all.accu_var.clone(), None));
                for part in [&all.loop_cond, &all.loop_step, &all.result] {
                    self.known(part, scope)?;
                }
                scope.truncate(depth);
                Ok(None)
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.known(element, scope)?;
                }
                Ok(None)
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.known(&entry.key, scope)?;
                        self.known(&entry.value, scope)?;
                    }
                }
                Ok(None)
            }
            Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => Ok(None),
        }
    }
}

/// The field that an expression selects.
fn field<'a>(schema: &'a Value, is_object: bool, name: &str) -> Result<Known<'a>, String> {
    let is_open = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    if let Some(extra) = schema.get("additionalProperties") {
        return Ok(extra.is_object().then_some((extra, false)));
    }
    let mut fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    if (is_object || is_true(schema, "x-kubernetes-embedded-resource")) && super::is_type_meta(name) {
        return Ok(None);
    }
    match fields.find(|(field, _)| rule_values::means(name, field)) {
        Some((_, field)) => Ok(Some((field, false))),
        None if is_open || text(schema, "type") != "object" => Ok(None),
        None => Err(format!("undefined field '{name}'")),
    }
}

/// What a list or a map consists of.
fn item(schema: &Value) -> Known<'_> {
    let of = |field: &str| schema.get(field).filter(|inner| inner.is_object());
    of("items").or_else(|| of("additionalProperties")).map(|schema| (schema, false))
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
