//! The rules of `x-kubernetes-validations`: compiled once per schema, evaluated wherever a value is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as CelValue};
use serde_json::Value;

use super::check::Counterparts;
use super::rule_cost::{Cost, Sizes};
use super::{
    is_true, is_type_meta, join, rule_functions, rule_parse, rule_runnable, rule_values, shown, text,
};
use crate::error::Cause;

/// How many steps a rule may take at most.
const MOST_STEPS: u64 = 5_000_000;
/// How many steps all rules of an object may take, each time that they are evaluated.
const MOST_STEPS_OF_ALL: u64 = 10_000_000;
/// How long the text that a `messageExpression` makes may be.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// A function or an operator does not take values of these types.
const NO_OVERLOAD: &str = "no such overload";

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
}

/// An expression that can be run.
#[derive(Debug)]
struct Program {
    tree: IdedExpr,
    cost: Cost,
}

impl Program {
    fn new(tree: &IdedExpr, old_is_optional: bool) -> Self {
        let tree = rule_parse::runnable(tree, old_is_optional);
        Self { cost: Cost::of(&tree), tree }
    }
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

    /// The rules of a field of this level's value.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.fields.get(name)
    }

    pub(super) fn items(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    /// The rules of the fields that the schema does not name.
    pub(super) fn extra(&self) -> Option<&Self> {
        self.extra.as_deref()
    }

    /// Evaluates the rules of a value that is at a path; the path of the object itself is "".
    pub(super) fn validate(
        &self,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        found: &mut Found,
    ) {
        let mut context = Context::default().with_all();
        rule_functions::add(&mut context);
        rule_values::add_types(&mut context);
        rule_runnable::add_functions(&mut context);
        let mut pass = Pass { context: &context, budget: Some(MOST_STEPS_OF_ALL), found };
        let is_unchanged = old == Some(value);
        self.walk(&mut pass, schema, value, Past { old, is_unchanged }, path);
    }

    fn walk(&self, pass: &mut Pass<'_>, schema: &Value, value: &Value, past: Past<'_>, path: &str) {
        if value.is_null() || pass.budget.is_none() {
            return;
        }
        self.evaluate(pass, schema, value, past, path);
        match value {
            Value::Object(map) => {
                let is_object = path.is_empty() || is_true(schema, "x-kubernetes-embedded-resource");
                for (name, value) in map.iter().filter(|(name, _)| !(is_object && is_type_meta(name))) {
                    let own = self.field(name);
                    let Some(rules) = own.or_else(|| self.extra()) else { continue };
                    let Some(schema) = super::field_schema(schema, name) else { continue };
                    let old = past.old.and_then(|old| old.get(name));
                    let path = if own.is_some() { join(path, name) } else { format!("{path}[{name}]") };
                    rules.walk(pass, schema, value, past.below(old, value), &path);
                }
            }
            Value::Array(items) => {
                let (Some(rules), Some(item_schema)) = (&self.items, schema.get("items")) else { return };
                let old = past.old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                let counterparts = Counterparts::new(schema, old);
                for (index, item) in items.iter().enumerate() {
                    let past = past.below(counterparts.of(item), item);
                    rules.walk(pass, item_schema, item, past, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn evaluate(&self, pass: &mut Pass<'_>, schema: &Value, value: &Value, past: Past<'_>, path: &str) {
        // Only what was there before can be compared with what it was.
        let judges = |rule: &&Rule| !rule.is_transition || past.old.is_some() || rule.optional_old;
        if !self.own.iter().any(|rule| judges(&rule)) {
            return;
        }
        let (is_root, of_type) = (path.is_empty(), text(schema, "type"));
        let sizes = Sizes::of(value).max(past.old.map(Sizes::of).unwrap_or_default());
        let mut scope = pass.context.new_inner_scope();
        scope.add_variable_from_value("self", rule_values::convert(value, schema, is_root));
        let aligned = |old| rule_values::aligned(old, value, schema);
        let old = past.old.map(|old| rule_values::convert(&aligned(old), schema, is_root));
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
            if let Err(why) = pass.spend(rule.program.cost.steps(sizes), rule) {
                pass.found.causes.push(Cause::invalid(path, &Value::from(of_type), &why));
                return;
            }
            match rule.judge(&scope, sizes) {
                Ok(None) => {}
                // What has not changed may stay as it is, even if a rule that came later forbids it.
                Ok(Some(message)) if past.is_unchanged && !rule.is_transition => {
                    let cause = rule.cause(path, value, &message);
                    pass.found.warnings.push(format!("{}: {}", shown(&cause.field), cause.message));
                }
                Ok(Some(message)) => pass.found.causes.push(rule.cause(path, value, &message)),
                Err(why) => pass.found.causes.push(Cause::invalid(path, &Value::from(of_type), &why)),
            }
        }
    }
}

/// What the rules of an object have to say.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) causes: Vec<Cause>,
    /// Of what breaks a rule and has not changed.
    pub(crate) warnings: Vec<String>,
}

/// One evaluation of all rules of an object.
struct Pass<'a> {
    context: &'a Context<'a>,
    /// How many steps are left; `None` once they were too few.
    budget: Option<u64>,
    found: &'a mut Found,
}

impl Pass<'_> {
    /// Takes the steps of a rule from the budget; the error says that there are too few, and is the last.
    fn spend(&mut self, steps: u64, rule: &Rule) -> Result<(), String> {
        let left = self.budget.unwrap_or_default();
        self.budget = left.checked_sub(steps).filter(|_| steps <= MOST_STEPS);
        match self.budget {
            Some(_) => Ok(()),
            None if steps > MOST_STEPS => Err(format!(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to \
                 call cost exceeds limit for rule: {}",
                rule.named()
            )),
            None => Err(
                "validation failed due to running out of cost budget, no further validation rules will be \
                         run"
                .to_owned(),
            ),
        }
    }
}

/// What a value was before.
#[derive(Debug, Clone, Copy)]
struct Past<'a> {
    old: Option<&'a Value>,
    /// Nothing has changed here, or, where it cannot be told what was here, in what is around it.
    is_unchanged: bool,
}

impl<'a> Past<'a> {
    fn below(self, old: Option<&'a Value>, value: &Value) -> Self {
        Self { old, is_unchanged: old.map_or(self.is_unchanged, |old| old == value) }
    }
}

impl Rule {
    fn new(json: &Value) -> Option<Self> {
        let rule = text(json, "rule");
        let tree = rule_parse::parse(rule).ok()?;
        let message_expression = text(json, "messageExpression");
        let optional_old = is_true(json, "optionalOldSelf");
        Some(Self {
            is_transition: tree.references().has_variable("oldSelf"),
            program: Program::new(&tree, optional_old),
            text: rule.to_owned(),
            message: text(json, "message").trim().to_owned(),
            message_program: match message_expression {
                "" => None,
                expression => {
                    rule_parse::parse(expression).ok().map(|tree| Program::new(&tree, optional_old))
                }
            },
            reason: text(json, "reason").to_owned(),
            field_path: text(json, "fieldPath").to_owned(),
            optional_old,
        })
    }

    /// The message of the rule if the value breaks it; the error says why that cannot be told.
    fn judge(&self, scope: &Context<'_>, sizes: Sizes) -> Result<Option<String>, String> {
        match run(&self.program, scope) {
            Ok(CelValue::Bool(true)) => Ok(None),
            Ok(CelValue::Bool(false)) => Ok(Some(self.broken(scope, sizes))),
            Ok(_) => Err(format!("cel expression evaluated to no bool evaluating rule: {}", self.named())),
            Err(error) if error == NO_OVERLOAD => Err(format!(
                "'{error}': call arguments did not match a supported operator, function or macro signature for \
                 rule: {}",
                self.named()
            )),
            Err(error) => Err(format!("{error} evaluating rule: {}", self.named())),
        }
    }

    fn broken(&self, scope: &Context<'_>, sizes: Sizes) -> String {
        let affordable =
            self.message_program.as_ref().filter(|program| program.cost.steps(sizes) <= MOST_STEPS);
        let own = affordable.and_then(|program| match run(program, scope) {
            Ok(CelValue::String(message)) => Some(message.trim().to_owned()),
            _ => None,
        });
        let is_fit = |message: &String| {
            !message.is_empty() && message.len() <= LONGEST_MESSAGE && !message.contains('\n')
        };
        own.filter(is_fit).unwrap_or_else(|| match self.message.as_str() {
            "" => format!("failed rule: {}", self.named()),
            message => message.to_owned(),
        })
    }

    /// What the rule is called in messages: its own message, or its text.
    fn named(&self) -> &str {
        if self.message.is_empty() { self.text.trim() } else { &self.message }
    }

    /// A value that is no scalar is not shown.
    fn cause(&self, path: &str, value: &Value, message: &str) -> Cause {
        let is_scalar = !value.is_object() && !value.is_array();
        let mut field = format!("{path}{}", self.field_path);
        if path.is_empty() {
            field = field.trim_start_matches('.').to_owned();
        }
        match self.reason.as_str() {
            "FieldValueRequired" => Cause::required(field, message),
            "FieldValueForbidden" => Cause::forbidden(field, message),
            "FieldValueDuplicate" if !is_scalar => {
                Cause { reason: "FieldValueDuplicate", field, message: "Duplicate value".to_owned() }
            }
            "FieldValueDuplicate" => Cause::duplicate(&field, value),
            _ if !is_scalar => {
                Cause { reason: "FieldValueInvalid", field, message: format!("Invalid value: {message}") }
            }
            _ => Cause::invalid(field, value, message),
        }
    }
}

/// Runs a compiled expression; the error says why it has no result, as the real server's library says it.
fn run(program: &Program, scope: &Context<'_>) -> Result<CelValue, String> {
    let error = match catch_unwind(AssertUnwindSafe(|| CelValue::resolve(&program.tree, scope))) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => return Err("internal error".to_owned()),
    };
    Err(match &error {
        ExecutionError::NoSuchOverload
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::NotSupportedAsMethod { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedUnaryOperator(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => NO_OVERLOAD.to_owned(),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::IndexOutOfBounds(CelValue::Int(index)) => format!("index out of bounds: {index}"),
        ExecutionError::IndexOutOfBounds(CelValue::UInt(index)) => format!("index out of bounds: {index}"),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        error => {
            // "no such key: x"
            let text = error.to_string();
            let mut letters = text.chars();
            letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
        }
    })
}
