//! The rules of `x-kubernetes-validations`: compiled once per schema, evaluated wherever a value is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, Program, Value as CelValue};
use serde_json::Value;

use super::check::Counterparts;
use super::{is_true, is_type_meta, join, rule_check, rule_values, text};
use crate::error::Cause;

/// How many steps a rule may take at most, as far as the sizes of its loops tell.
const MOST_STEPS: u64 = 10_000_000;
/// How long the text that a `messageExpression` makes may be.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// How deep an expression may be nested.
const MOST_NESTED: u32 = 128;
/// Only what is used of it becomes memory.
const PARSER_STACK: usize = 256 * 1024 * 1024;

/// The rules at one level of a schema, and those below.
#[derive(Debug, Default)]
pub(super) struct Rules {
    own: Vec<Rule>,
    fields: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
    extra: Option<Box<Rules>>,
}

#[derive(Debug)]
struct Rule {
    text: String,
    program: Program,
    message: String,
    message_program: Option<Program>,
    reason: String,
    /// Where the error is said to be, below the value that the rule is of.
    field_path: String,
    /// Compares with the state before, and says nothing where there is none.
    is_transition: bool,
    optional_old: bool,
    loops: rule_check::Loops,
}

/// Compiles an expression; the error says what is wrong with it.
///
/// The parser recurses as deep as the expression is nested (`1 + 1 + 1` is, too), before anybody can say that this
/// is too deep. So it gets a thread with a stack that lasts for the longest expression.
pub(super) fn compile(expression: &str) -> Result<Program, String> {
    let failed = || "ERROR: <input>:1:1: the expression cannot be parsed".to_owned();
    std::thread::scope(|scope| {
        let parse = || match Program::compile(expression) {
            Ok(program) if rule_check::Loops::of(&program).nesting > MOST_NESTED => {
                Err(format!("ERROR: <input>:1:1: expression is nested more than {MOST_NESTED} levels deep"))
            }
            Ok(program) => Ok(program),
            Err(errors) => Err(errors.to_string()),
        };
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        thread.map_or_else(|_| Err(failed()), |thread| thread.join().unwrap_or_else(|_| Err(failed())))
    })
}

impl Rules {
    /// The rules of a schema; `None` if there are none. Those that do not compile are left out: no
    /// definition with such a rule is accepted.
    pub(super) fn new(schema: &Value) -> Option<Self> {
        let all = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        let own: Vec<Rule> = all.into_iter().flatten().filter_map(Rule::new).collect();
        let below = |field: &str| schema.get(field).and_then(Self::new).map(Box::new);
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let fields: BTreeMap<String, Self> =
            fields.filter_map(|(name, field)| Some((name.clone(), Self::new(field)?))).collect();
        let rules = Self { own, fields, items: below("items"), extra: below("additionalProperties") };
        let is_empty =
            rules.own.is_empty() && rules.fields.is_empty() && rules.items.is_none() && rules.extra.is_none();
        (!is_empty).then_some(rules)
    }

    /// Evaluates the rules of an object.
    pub(super) fn validate(
        &self,
        schema: &Value,
        object: &Value,
        old: Option<&Value>,
        causes: &mut Vec<Cause>,
    ) {
        let mut context = Context::default().with_all();
        rule_values::add_types(&mut context);
        self.walk(&context, schema, object, old, "", causes);
    }

    fn walk(
        &self,
        context: &Context<'_>,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        if value.is_null() {
            return;
        }
        self.evaluate(context, schema, value, old, path, causes);
        match value {
            Value::Object(map) => {
                let is_object = path.is_empty() || is_true(schema, "x-kubernetes-embedded-resource");
                for (name, value) in map.iter().filter(|(name, _)| !(is_object && is_type_meta(name))) {
                    let rules = self.fields.get(name).or(self.extra.as_deref());
                    if let (Some(rules), Some(schema)) = (rules, super::field_schema(schema, name)) {
                        let old = old.and_then(|old| old.get(name));
                        rules.walk(context, schema, value, old, &join(path, name), causes);
                    }
                }
            }
            Value::Array(items) => {
                let (Some(rules), Some(item_schema)) = (&self.items, schema.get("items")) else { return };
                let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let counterparts = Counterparts::new(schema, old);
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    rules.walk(context, item_schema, item, counterparts.of(item), &path, causes);
                }
            }
            _ => {}
        }
    }

    fn evaluate(
        &self,
        context: &Context<'_>,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        let is_unchanged = old == Some(value);
        // What has not changed is judged again only by rules that are about changes.
        let judges = |rule: &&Rule| match rule.is_transition {
            true => old.is_some() || rule.optional_old,
            false => !is_unchanged,
        };
        if !self.own.iter().any(|rule| judges(&rule)) {
            return;
        }
        let is_root = path.is_empty();
        let mut scope = context.new_inner_scope();
        scope.add_variable_from_value("self", rule_values::convert(value, schema, is_root));
        let old = old.map(|old| rule_values::convert(old, schema, is_root));
        for rule in self.own.iter().filter(judges) {
            let mut scope = scope.new_inner_scope();
            match (&old, rule.optional_old) {
                (old, true) => {
                    let old = old.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                    scope.add_variable_from_value("oldSelf", CelValue::Opaque(Arc::new(old)));
                }
                (Some(old), false) => scope.add_variable_from_value("oldSelf", old.clone()),
                (None, false) => {}
            }
            if let Some(message) = rule.judge(&scope, value) {
                causes.push(rule.cause(path, text(schema, "type"), &message));
            }
        }
    }
}

impl Rule {
    fn new(json: &Value) -> Option<Self> {
        let rule = text(json, "rule");
        let program = compile(rule).ok()?;
        let message_expression = text(json, "messageExpression");
        Some(Self {
            is_transition: program.references().has_variable("oldSelf"),
            loops: rule_check::Loops::of(&program),
            program,
            text: rule.to_owned(),
            message: text(json, "message").trim().to_owned(),
            message_program: match message_expression {
                "" => None,
                expression => compile(expression).ok(),
            },
            reason: text(json, "reason").to_owned(),
            field_path: text(json, "fieldPath").to_owned(),
            optional_old: is_true(json, "optionalOldSelf"),
        })
    }

    /// The message of the rule if the value breaks it, or if that cannot be told.
    fn judge(&self, scope: &Context<'_>, value: &Value) -> Option<String> {
        if self.loops.steps(value) > MOST_STEPS {
            return Some(format!("call cost exceeds limit for rule: {}", self.text));
        }
        match run(&self.program, scope) {
            Ok(CelValue::Bool(true)) => None,
            Ok(CelValue::Bool(false)) => Some(self.broken(scope)),
            Ok(_) => Some(format!("cel expression evaluated to no bool evaluating rule: {}", self.text)),
            Err(error) => Some(format!("{error} evaluating rule: {}", self.usual_message())),
        }
    }

    fn broken(&self, scope: &Context<'_>) -> String {
        let own = self.message_program.as_ref().and_then(|program| match run(program, scope) {
            Ok(CelValue::String(message)) => Some(message.trim().to_owned()),
            _ => None,
        });
        let is_fit = |message: &String| {
            !message.is_empty() && message.len() <= LONGEST_MESSAGE && !message.contains('\n')
        };
        own.filter(is_fit).unwrap_or_else(|| self.usual_message())
    }

    fn usual_message(&self) -> String {
        match self.message.as_str() {
            "" => format!("failed rule: {}", self.text.trim()),
            message => message.to_owned(),
        }
    }

    fn cause(&self, path: &str, of_type: &str, message: &str) -> Cause {
        let mut field = format!("{path}{}", self.field_path);
        if path.is_empty() {
            field = field.trim_start_matches('.').to_owned();
        }
        match self.reason.as_str() {
            "FieldValueRequired" => Cause::required(field, message),
            "FieldValueForbidden" => Cause::forbidden(field, message),
            "FieldValueDuplicate" => Cause {
                reason: "FieldValueDuplicate",
                field,
                message: format!("Duplicate value: {of_type:?}: {message}"),
            },
            _ => Cause::invalid(field, &Value::from(of_type), message),
        }
    }
}

/// Runs a compiled expression; the error says why it has no result.
fn run(program: &Program, scope: &Context<'_>) -> Result<CelValue, String> {
    match catch_unwind(AssertUnwindSafe(|| program.execute(scope))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let text = error.to_string();
            // As the real server writes it: "no such key: x".
            let mut letters = text.chars();
            Err(letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect())
        }
        Err(_) => Err("internal error".to_owned()),
    }
}
