//! Finds the types of a rule's parts, as the real server does when a definition is written, and with it what cannot
//! work: fields and functions that there are not, and operators that do not take what they are given.

mod bindings;
mod cost;
mod cost_of_calls;
mod fields;
mod functions;
mod limits;
mod literals;
mod names;
mod types;

use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use serde_json::Value;

use self::bindings::{Bindings, is_more_general};
use self::cost::{Estimator, Part, Parts};
pub(super) use self::limits::{Limits, multiple};
use self::literals::Literals;
use self::names::{named_type, qualified};
use self::types::{Kind, Type};
use super::rule_parse::Problem;

/// How many steps the types of an expression may take for each of its bytes.
const STEPS_A_BYTE: usize = 64;
const MOST_PROBLEMS: usize = 100;

/// What an expression is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) schema: &'a Value,
    /// The value is a whole object.
    pub(super) is_root: bool,
    /// There may be no `oldSelf`.
    pub(super) optional_old: bool,
    pub(super) limits: &'a Limits,
}

/// What is found of an expression that can be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) outcome: Outcome,
    /// How much work it is at most, as the real server estimates it; 0 if it cannot be told.
    pub(super) cost: u64,
}

/// What an expression makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Bool,
    Text,
    Other,
    /// It cannot be told.
    Unsure,
}

/// What is found of an expression of this length; the error says all that is wrong with it.
pub(super) fn check(subject: Subject<'_>, tree: &IdedExpr, length: usize) -> Result<Found, Vec<Problem>> {
    let unsure = Ok(Found { outcome: Outcome::Unsure, cost: 0 });
    let Some(of_self) = fields::of_schema(subject.schema, subject.is_root, "") else {
        return unsure;
    };
    let of_old = if subject.optional_old { Type::optional(of_self.clone()) } else { of_self.clone() };
    let steps = length.saturating_mul(STEPS_A_BYTE).saturating_add(10_000);
    let mut checker = Checker {
        names: vec![("self", of_self), ("oldSelf", of_old)],
        bindings: Bindings::new(steps),
        problems: Vec::new(),
        literals: Literals::default(),
        parts: Parts::new(),
    };
    let found = checker.of(tree);
    let found = checker.bindings.resolve(&found);
    if checker.problems.is_empty() {
        checker.problems = checker.literals.problems(&mut checker.bindings);
    }
    if checker.bindings.is_exhausted() {
        return unsure;
    }
    if !checker.problems.is_empty() {
        checker.problems.truncate(MOST_PROBLEMS);
        return Err(checker.problems);
    }
    for part in checker.parts.values_mut() {
        part.of = checker.bindings.resolve(&part.of);
    }
    let outcome = match found {
        Type::Bool => Outcome::Bool,
        Type::String => Outcome::Text,
        Type::Unsure => Outcome::Unsure,
        _ => Outcome::Other,
    };
    if checker.bindings.is_exhausted() {
        return Ok(Found { outcome, cost: 0 });
    }
    Ok(Found { outcome, cost: Estimator::new(subject, &checker.parts).node(tree).cost })
}

struct Checker<'a> {
    /// The variables that there are; the last of a name counts.
    names: Vec<(&'a str, Type<'a>)>,
    bindings: Bindings<'a>,
    problems: Vec<Problem>,
    literals: Literals<'a>,
    parts: Parts<'a>,
}

impl<'a> Checker<'a> {
    fn refuse(&mut self, id: u64, why: String) -> Type<'a> {
        if self.problems.len() <= MOST_PROBLEMS {
            self.problems.push(Problem::new(id, why));
        }
        Type::Wrong
    }

    /// The type of a part of the expression, which is remembered.
    fn of(&mut self, tree: &'a IdedExpr) -> Type<'a> {
        let of = self.found(tree);
        self.part(tree).of = of.clone();
        of
    }

    fn part(&mut self, tree: &'a IdedExpr) -> &mut Part<'a> {
        self.parts.entry(std::ptr::from_ref(tree)).or_default()
    }

    fn found(&mut self, tree: &'a IdedExpr) -> Type<'a> {
        match &tree.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::String,
                LiteralValue::UInt(_) => Type::Uint,
            },
            Expr::Ident(name) => self.ident(tree.id, name),
            Expr::Select(select) => self.select(tree, select),
            Expr::Call(call) => self.call(tree, call),
            Expr::List(list) => {
                let mut items = Vec::new();
                for (index, item) in list.elements.iter().enumerate() {
                    let found = self.of(item);
                    items.push((
                        item.id,
                        self.optional_part(item.id, found, list.optional_indices.contains(&index)),
                    ));
                }
                let item = self.joined(&items);
                self.literals.see_list(items);
                Type::list(item)
            }
            Expr::Map(map) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        keys.push((entry.key.id, self.of(&entry.key)));
                        let found = self.of(&entry.value);
                        values.push((
                            entry.value.id,
                            self.optional_part(entry.value.id, found, entry.optional),
                        ));
                    }
                }
                let (key, value) = (self.joined(&keys), self.joined(&values));
                self.literals.see_map(keys, values);
                Type::map(key, value)
            }
            Expr::Struct(fields) => {
                let name = &fields.type_name;
                self.refuse(tree.id, format!("undeclared reference to '{name}' (in container '')"))
            }
            Expr::Comprehension(all) => self.comprehension(all),
            Expr::Unspecified => Type::Unsure,
        }
    }

    fn ident(&mut self, id: u64, name: &str) -> Type<'a> {
        if let Some((_, found)) = self.names.iter().rev().find(|(known, _)| *known == name) {
            return found.clone();
        }
        named_type(name)
            .unwrap_or_else(|| self.refuse(id, format!("undeclared reference to '{name}' (in container '')")))
    }

    fn select(&mut self, tree: &'a IdedExpr, select: &'a SelectExpr) -> Type<'a> {
        // A type with dots in its name.
        if !select.test
            && let Some(found) = qualified(tree).and_then(|name| named_type(&name))
        {
            return found;
        }
        let found = self.field(tree.id, &select.operand, &select.field, false);
        if select.test { Type::Bool } else { found }
    }

    fn field(&mut self, id: u64, operand: &'a IdedExpr, name: &str, is_optional: bool) -> Type<'a> {
        let operand = self.of(operand);
        let operand = self.bindings.resolve(&operand);
        let (target, was_optional) = operand.unwrapped();
        let found = match target {
            Type::Object(object) => match fields::field(object, name) {
                Some(found) => found,
                None => self.refuse(id, format!("undefined field '{name}'")),
            },
            Type::Made(Kind::Map, _) => target.parts().last().cloned().unwrap_or(Type::Unsure),
            Type::Var(_) => {
                self.bindings.assign(&Type::Dyn, target);
                Type::Dyn
            }
            Type::Unsure => Type::Unsure,
            _ if target.is_open() => Type::Dyn,
            _ => {
                self.refuse(id, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        };
        if was_optional || is_optional { Type::optional(found) } else { found }
    }

    fn call(&mut self, tree: &'a IdedExpr, call: &'a CallExpr) -> Type<'a> {
        let (id, name) = (tree.id, call.func_name.as_str());
        self.part(tree).function = name;
        if let (operators::OPT_SELECT, [operand, field]) = (name, call.args.as_slice())
            && let Expr::Literal(LiteralValue::String(field)) = &field.expr
        {
            return self.field(id, operand, field.inner(), true);
        }
        let mut args: Vec<_> = Vec::new();
        let target = match call.target.as_deref() {
            None => None,
            // A function with dots in its name, or a method.
            Some(target) => {
                let full = qualified(target).map(|prefix| format!("{prefix}.{name}"));
                if let Some(full) = full.filter(|full| functions::find(full).is_some()) {
                    let args = call.args.iter().map(|arg| self.of(arg)).collect::<Vec<_>>();
                    self.literals.see_call(&full, call);
                    return self.apply(tree, &full, &args, false);
                }
                Some(self.of(target))
            }
        };
        let is_method = target.is_some();
        args.extend(target);
        let outside = self.literals.enter(name);
        args.extend(call.args.iter().map(|arg| self.of(arg)).collect::<Vec<_>>());
        self.literals.leave(outside);
        if matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR) {
            let (_, overloads) = functions::find(name).unwrap_or_default();
            self.part(tree).overloads.extend(overloads);
            return self.all_bool(call, &args);
        }
        self.literals.see_call(name, call);
        self.apply(tree, name, &args, is_method)
    }

    fn all_bool(&mut self, call: &CallExpr, args: &[Type<'a>]) -> Type<'a> {
        let mut outcome = Type::Bool;
        for (arg, found) in call.args.iter().zip(args) {
            if !self.bindings.assign(found, &Type::Bool) {
                let found = self.bindings.resolve(found);
                outcome = self.refuse(arg.id, format!("expected type 'bool' but found '{found}'"));
            }
        }
        outcome
    }

    /// What a function makes of arguments of these types.
    fn apply(&mut self, tree: &'a IdedExpr, name: &str, args: &[Type<'a>], is_method: bool) -> Type<'a> {
        let id = tree.id;
        let plain = if is_method { name } else { name.trim_start_matches('.') };
        let Some((plain, overloads)) = functions::find(plain) else {
            return self.refuse(id, format!("undeclared reference to '{name}' (in container '')"));
        };
        let mut made: Option<Type<'a>> = None;
        for overload in overloads.iter().filter(|overload| overload.is_method == is_method) {
            let types: Vec<Type<'a>> = overload.args.iter().chain([&overload.result]).cloned().collect();
            let types = self.bindings.instantiate(&types);
            let Some((result, wanted)) = types.split_last() else { continue };
            if !self.bindings.assign_all(args, wanted) {
                continue;
            }
            let result = self.bindings.resolve(result);
            let part = self.part(tree);
            part.function = plain;
            part.overloads.push(overload);
            made = Some(match made {
                None => result,
                Some(first) if matches!(first, Type::Dyn) || first.is_same(&result) => first,
                Some(_) => Type::Dyn,
            });
        }
        if let Some(made) = made {
            return made;
        }
        let mut shown: Vec<String> = args.iter().map(|arg| self.bindings.resolve(arg).to_string()).collect();
        let target = if is_method { format!("{}.", shown.remove(0)) } else { String::new() };
        let given = shown.join(", ");
        self.refuse(id, format!("found no matching overload for '{plain}' applied to '{target}({given})'"))
    }

    /// The type of an item that is there or not, in a list or a map that has it only if it is.
    fn optional_part(&mut self, id: u64, found: Type<'a>, is_optional: bool) -> Type<'a> {
        if !is_optional {
            return found;
        }
        let (value, was_optional) = found.unwrapped();
        if !was_optional && !value.is_open() {
            self.refuse(id, format!("expected type 'optional_type({value})' but found '{value}'"));
        }
        value.clone()
    }

    /// The type of all items of a list, or of all keys or values of a map.
    fn joined(&mut self, items: &[(u64, Type<'a>)]) -> Type<'a> {
        let mut all: Option<Type<'a>> = None;
        for (_, item) in items {
            all = Some(match all {
                None => item.clone(),
                Some(so_far) if !self.bindings.assign(&so_far, item) => Type::Dyn,
                Some(so_far) if is_more_general(&so_far, item) => so_far,
                Some(_) => item.clone(),
            });
        }
        all.unwrap_or_else(|| self.bindings.fresh())
    }

    fn comprehension(&mut self, all: &'a ComprehensionExpr) -> Type<'a> {
        let range = self.of(&all.iter_range);
        let made = self.of(&all.accu_init);
        let range = self.bindings.resolve(&range);
        let (first, second) = match (&range, range.parts()) {
            (Type::Made(Kind::List, _), [item]) if all.iter_var2.is_some() => (Type::Int, item.clone()),
            (Type::Made(Kind::List, _), [item]) => (item.clone(), Type::Unsure),
            (Type::Made(Kind::Map, _), [key, value]) => (key.clone(), value.clone()),
            (Type::Var(_), _) => {
                self.bindings.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            (Type::Dyn | Type::Wrong, _) => (Type::Dyn, Type::Dyn),
            (Type::Unsure, _) => (Type::Unsure, Type::Unsure),
            _ => {
                let why = format!(
                    "expression of type '{range}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.refuse(all.iter_range.id, why);
                (Type::Wrong, Type::Wrong)
            }
        };
        let depth = self.names.len();
        self.names.push((&all.accu_var, made.clone()));
        self.names.push((&all.iter_var, first));
        if let Some(name) = &all.iter_var2 {
            self.names.push((name, second));
        }
        for (part, wanted) in [(&all.loop_cond, Type::Bool), (&all.loop_step, made)] {
            let found = self.of(part);
            if !self.bindings.assign(&wanted, &found) {
                let (wanted, found) = (self.bindings.resolve(&wanted), self.bindings.resolve(&found));
                self.refuse(part.id, format!("expected type '{wanted}' but found '{found}'"));
            }
        }
        self.names.truncate(depth.saturating_add(1));
        let result = self.of(&all.result);
        self.names.truncate(depth);
        self.bindings.resolve(&result)
    }
}
