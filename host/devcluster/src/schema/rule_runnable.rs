//! Makes of a parsed rule what can be run: the crate that runs it has no `a.?b` for what is missing, nothing that is
//! selected from an optional value, and no loops with two variables.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use kube_cel::cel::extractors::This;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, FunctionContext, Value};

use super::rule_macros::bind;
use super::rule_tree::{call, ident, method, parts};

/// The item, or the entry, of a loop with two variables.
const PAIR: &str = "@pair";

/// An expression that does the same and can be run. `old_is_optional` tells what `oldSelf` is.
pub(super) fn rewrite(tree: &IdedExpr, old_is_optional: bool) -> IdedExpr {
    let mut tree = tree.clone();
    all(&mut tree, old_is_optional);
    tree
}

fn all(tree: &mut IdedExpr, old_is_optional: bool) {
    for part in parts(&mut tree.expr) {
        all(part, old_is_optional);
    }
    let id = tree.id;
    let is_optional = |part: &IdedExpr| is_optional(part, old_is_optional);
    match &mut tree.expr {
        Expr::Call(call) if call.func_name == operators::OPT_SELECT => {
            operators::OPT_INDEX.clone_into(&mut call.func_name);
        }
        // Optional values have no equals of their own.
        Expr::Call(CallExpr { func_name, target: None, args })
            if matches!(func_name.as_str(), operators::EQUALS | operators::NOT_EQUALS)
                && args.iter().any(is_optional) =>
        {
            let is_equal = func_name == operators::EQUALS;
            let same = call(id, "@same", std::mem::take(args));
            *tree = if is_equal { same } else { call(id, operators::LOGICAL_NOT, vec![same]) };
        }
        Expr::Select(SelectExpr { operand, field, test }) if is_optional(operand) => {
            let field = LiteralValue::String(std::mem::take(field).into());
            let field = IdedExpr { id, expr: Expr::Literal(field) };
            let found = call(id, operators::OPT_INDEX, vec![std::mem::take(operand), field]);
            *tree = if *test { method(id, found, "hasValue") } else { found };
        }
        Expr::Comprehension(all) => {
            if let Some(second) = all.iter_var2.take() {
                let first = std::mem::replace(&mut all.iter_var, PAIR.to_owned());
                all.iter_range = call(id, "@pairs", vec![std::mem::take(&mut all.iter_range)]);
                let part = |index: i64| {
                    let index = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(index.into())) };
                    call(id, operators::INDEX, vec![ident(id, PAIR), index])
                };
                let step = bind(id, &second, part(1), std::mem::take(&mut all.loop_step));
                all.loop_step = bind(id, &first, part(0), step);
            }
        }
        _ => {}
    }
}

/// Whether the expression makes an optional value, as far as can be told without its types.
fn is_optional(tree: &IdedExpr, old: bool) -> bool {
    match &tree.expr {
        Expr::Ident(name) => old && name == "oldSelf",
        Expr::Select(select) => !select.test && is_optional(&select.operand, old),
        Expr::Call(call) => {
            let of_first = || call.args.first().is_some_and(|first| is_optional(first, old));
            let is_static = matches!(call.target.as_deref(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name == "optional");
            match call.func_name.as_str() {
                operators::OPT_SELECT | operators::OPT_INDEX => true,
                operators::INDEX => of_first(),
                operators::CONDITIONAL => call.args.iter().skip(1).any(|branch| is_optional(branch, old)),
                "or" => call.target.as_deref().is_some_and(|target| is_optional(target, old)),
                "first" | "last" => call.args.is_empty(),
                "of" | "none" | "ofNonZeroValue" => is_static,
                _ => false,
            }
        }
        _ => false,
    }
}

/// The functions that rewritten expressions call, and those of optional values that the crate lacks.
pub(super) fn add_functions(context: &mut Context<'_>) {
    context.add_function("@same", |one: Value, other: Value| -> Result<bool, ExecutionError> {
        Ok(match (optional(&one), optional(&other)) {
            (Some(one), Some(other)) => one.value() == other.value(),
            (None, None) => one == other,
            _ => false,
        })
    });
    context.add_function(
        "@sortByAssociatedKeys",
        |This(items): This<Arc<Vec<Value>>>, keys: Arc<Vec<Value>>| -> Result<Value, ExecutionError> {
            let mut pairs: Vec<_> = keys.iter().zip(items.iter()).collect();
            pairs.sort_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal));
            Ok(Value::List(Arc::new(pairs.into_iter().map(|(_, item)| item.clone()).collect())))
        },
    );
    for name in ["optional.unwrap", "unwrapOpt"] {
        context.add_function(name, |context: &FunctionContext<'_, '_>| -> Result<Value, ExecutionError> {
            let items = match (&context.this, context.args) {
                (Some(this), []) => this.clone(),
                (None, [items]) => Value::resolve(items, context.ptx)?,
                _ => return Err(ExecutionError::NoSuchOverload),
            };
            let Value::List(items) = items else { return Err(ExecutionError::NoSuchOverload) };
            let there =
                items.iter().filter_map(|item| optional(item).map_or(Some(item), |item| item.value()));
            Ok(Value::List(Arc::new(there.cloned().collect())))
        });
    }
    context.add_function("@pairs", |range: Value| -> Result<Value, ExecutionError> {
        let pair = |key: Value, value: Value| Value::List(Arc::new(vec![key, value]));
        let pairs = match range {
            Value::List(items) => {
                let indices = (0_i64..).map(Value::Int);
                indices.zip(items.iter()).map(|(index, item)| pair(index, item.clone())).collect()
            }
            Value::Map(map) => {
                map.map.iter().map(|(key, value)| pair(key_value(key), value.clone())).collect()
            }
            _ => return Err(ExecutionError::NoSuchOverload),
        };
        Ok(Value::List(Arc::new(pairs)))
    });
    context.add_function(
        "cel.@mapInsert",
        |context: &FunctionContext<'_, '_>| -> Result<Value, ExecutionError> {
            let args = context.args.iter().map(|arg| Value::resolve(arg, context.ptx));
            let args: Vec<Value> = args.collect::<Result<_, _>>()?;
            let mut args = args.into_iter();
            let Some(Value::Map(map)) = args.next() else { return Err(ExecutionError::NoSuchOverload) };
            let mut entries: HashMap<Key, Value> = map.map.as_ref().clone();
            match (args.next(), args.next()) {
                (Some(Value::Map(more)), None) => {
                    for (key, value) in more.map.iter() {
                        insert(&mut entries, key.clone(), value.clone())?;
                    }
                }
                (Some(key), Some(value)) => {
                    insert(&mut entries, key_of(key)?, value)?;
                }
                _ => return Err(ExecutionError::NoSuchOverload),
            }
            Ok(Value::Map(Map { map: Arc::new(entries) }))
        },
    );
}

fn insert(entries: &mut HashMap<Key, Value>, key: Key, value: Value) -> Result<(), ExecutionError> {
    let name = format!("{key}");
    match entries.insert(key, value) {
        None => Ok(()),
        Some(_) => Err(ExecutionError::function_error(
            "mapInsert",
            format!("insert failed: key {name} already exists"),
        )),
    }
}

fn optional(value: &Value) -> Option<&OptionalValue> {
    value.try_into().ok()
}

fn key_of(value: Value) -> Result<Key, ExecutionError> {
    match value {
        Value::Int(key) => Ok(Key::Int(key)),
        Value::UInt(key) => Ok(Key::Uint(key)),
        Value::Bool(key) => Ok(Key::Bool(key)),
        Value::String(key) => Ok(Key::String(key)),
        other => Err(ExecutionError::UnsupportedKeyType(other)),
    }
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Int(key) => Value::Int(*key),
        Key::Uint(key) => Value::UInt(*key),
        Key::Bool(key) => Value::Bool(*key),
        Key::String(key) => Value::String(Arc::clone(key)),
    }
}
