//! How much work a rule can be at most, as the real server estimates it when a definition is written: from the sizes
//! that the schema allows, and the types of the expression's parts.

use std::collections::HashMap;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use super::functions::Overload;
use super::types::{Kind, Type};
use super::{Subject, cost_of_calls};

/// What the checker found of the parts of an expression.
pub(super) type Parts<'a> = HashMap<*const IdedExpr, Part<'a>>;

#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) of: Type<'a>,
    /// The function that it calls, and the ways to call it that fit.
    pub(super) function: &'a str,
    pub(super) overloads: Vec<&'static Overload>,
}

/// The least and the most that something can be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Size {
    pub(super) const UNKNOWN: Self = Self { least: 0, most: u64::MAX };

    pub(super) const fn fixed(length: u64) -> Self {
        Self { least: length, most: length }
    }

    pub(super) fn union(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { least: self.least.saturating_add(other.least), most: self.most.saturating_add(other.most) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self { least: self.least.saturating_mul(other.least), most: self.most.saturating_mul(other.most) }
    }
}

/// How long what a list or a map consists of is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    is_list: bool,
    key: Size,
    value: Size,
}

impl Entry {
    pub(super) fn union(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (one, other) = (one?, other?);
        Some(Self { key: one.key.union(other.key), value: one.value.union(other.value), ..one })
    }
}

/// What is known of a part of an expression.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) cost: u64,
    size: Option<Size>,
    pub(super) entry: Option<Entry>,
    /// Where it is in the schema; empty if it is made.
    pub(super) path: Vec<&'a str>,
    pub(super) of: Type<'a>,
    pub(super) literal: Option<&'a LiteralValue>,
}

impl Node<'_> {
    pub(super) fn size(&self) -> Size {
        self.size.unwrap_or(Size::UNKNOWN)
    }
}

/// A variable of a loop.
struct Local<'a> {
    name: &'a str,
    path: Vec<&'a str>,
    size: Option<Size>,
    entry: Option<Entry>,
}

pub(super) struct Estimator<'a, 'b> {
    pub(super) subject: Subject<'a>,
    pub(super) parts: &'b Parts<'a>,
    locals: Vec<Local<'a>>,
}

impl<'a, 'b> Estimator<'a, 'b> {
    pub(super) fn new(subject: Subject<'a>, parts: &'b Parts<'a>) -> Self {
        Self { subject, parts, locals: Vec::new() }
    }

    pub(super) fn node(&mut self, tree: &'a IdedExpr) -> Node<'a> {
        match &tree.expr {
            Expr::Literal(literal) => {
                let length = match literal {
                    LiteralValue::String(text) => whole(text.inner().chars().count()),
                    LiteralValue::Bytes(bytes) => whole(bytes.inner().len()),
                    _ => 1,
                };
                let node = self.made(tree, 0, Some(Size::fixed(length)), None);
                Node { literal: Some(literal), ..node }
            }
            Expr::Ident(name) => {
                let local = self.locals.iter().rev().find(|local| local.name == name);
                let (path, size, entry) = match local {
                    Some(local) => (local.path.clone(), local.size, local.entry),
                    None => (vec![name.as_str()], None, None),
                };
                let node = self.at(tree, 1, path);
                Node { size: node.size.or(size), entry, ..node }
            }
            Expr::Select(select) => {
                if !self.parts.contains_key(&std::ptr::from_ref(&*select.operand)) {
                    // A type with dots in its name.
                    return self.at(tree, 1, vec![&select.field]);
                }
                let operand = self.node(&select.operand);
                if select.test {
                    return self.made(tree, operand.cost, None, None);
                }
                let own = u64::from(matches!(operand.of, Type::Object(_) | Type::Made(Kind::Map, _)));
                let path = joined(operand.path, &select.field);
                self.at(tree, operand.cost.saturating_add(own), path)
            }
            Expr::List(list) => {
                let items: Vec<_> = list.elements.iter().map(|item| self.node(item)).collect();
                let entry = Entry { is_list: true, key: Size::fixed(1), value: all(&items) };
                self.made(tree, sum(&items, 10), Some(Size::fixed(whole(items.len()))), Some(entry))
            }
            Expr::Map(map) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        keys.push(self.node(&entry.key));
                        values.push(self.node(&entry.value));
                    }
                }
                let entry = Entry { is_list: false, key: all(&keys), value: all(&values) };
                let cost = sum(&keys, sum(&values, 30));
                self.made(tree, cost, Some(Size::fixed(whole(keys.len()))), Some(entry))
            }
            Expr::Call(call) => self.call(tree, call),
            Expr::Comprehension(all) => self.comprehension(tree, all),
            Expr::Struct(_) | Expr::Unspecified => self.made(tree, 0, None, None),
        }
    }

    fn of(&self, tree: &IdedExpr) -> Type<'a> {
        self.parts.get(&std::ptr::from_ref(tree)).map_or(Type::Unsure, |part| part.of.clone())
    }

    /// What is not found in the schema.
    fn made(&self, tree: &IdedExpr, cost: u64, size: Option<Size>, entry: Option<Entry>) -> Node<'a> {
        let of = self.of(tree);
        let size = size.or_else(|| is_scalar(&of).then_some(Size::fixed(1)));
        Node { cost, size, entry, path: Vec::new(), of, literal: None }
    }

    /// What is found at a path in the schema.
    fn at(&self, tree: &IdedExpr, cost: u64, path: Vec<&'a str>) -> Node<'a> {
        let node = self.made(tree, cost, None, None);
        Node { size: self.size_at(&path).or(node.size), path, ..node }
    }

    pub(super) fn size_at(&self, path: &[&str]) -> Option<Size> {
        if path.is_empty() {
            return None;
        }
        let most = self.subject.limits.at_path(self.subject.schema, self.subject.is_root, path)?;
        Some(Size { least: 0, most })
    }

    fn call(&mut self, tree: &'a IdedExpr, call: &'a CallExpr) -> Node<'a> {
        let Some(part) = self.parts.get(&std::ptr::from_ref(tree)) else {
            return self.made(tree, 0, None, None);
        };
        let args: Vec<_> = call.args.iter().map(|arg| self.node(arg)).collect();
        if let ("dyn", [arg]) = (part.function, args.as_slice()) {
            let node = self.made(tree, arg.cost.saturating_add(1), arg.size, arg.entry);
            return Node { size: arg.size, ..node };
        }
        let is_method = part.overloads.iter().any(|overload| overload.is_method);
        let target = call.target.as_deref().filter(|_| is_method).map(|target| self.node(target));
        let mut found: Option<cost_of_calls::Call> = None;
        for overload in &part.overloads {
            let one = cost_of_calls::estimate(self, part.function, overload, target.as_ref(), &args);
            found = Some(match found {
                None => one,
                Some(other) => cost_of_calls::Call {
                    cost: one.cost.max(other.cost),
                    size: match (one.size, other.size) {
                        (Some(one), Some(other)) => Some(one.union(other)),
                        (one, other) => one.or(other),
                    },
                    entry: one.entry.or(other.entry),
                },
            });
        }
        let of_target = target.map_or(0, |target| target.cost);
        if part.function == operators::OPT_SELECT {
            return self.made(tree, sum(&args, 1), None, None);
        }
        let Some(found) = found else { return self.made(tree, of_target, None, None) };
        let cost = found.cost.saturating_add(of_target);
        let is_index = part.function == "_[_]";
        match args.first() {
            Some(first) if is_index && !matches!(first.of, Type::Made(Kind::Optional, _)) => {
                let is_list = part
                    .overloads
                    .iter()
                    .any(|way| matches!(way.args.first(), Some(Type::Made(Kind::List, _))));
                let node = self.at(
                    tree,
                    cost,
                    joined(first.path.clone(), if is_list { "@items" } else { "@values" }),
                );
                Node { size: first.entry.map(|entry| entry.value).or(node.size), ..node }
            }
            _ => self.made(tree, cost, found.size, found.entry),
        }
    }

    fn comprehension(&mut self, tree: &'a IdedExpr, all: &'a ComprehensionExpr) -> Node<'a> {
        let range = self.node(&all.iter_range);
        let made = self.node(&all.accu_init);
        let depth = self.locals.len();
        self.locals.push(Local {
            name: &all.accu_var,
            path: made.path.clone(),
            size: made.size,
            entry: made.entry,
        });
        let is_bind = matches!(&all.iter_range.expr, Expr::List(list) if list.elements.is_empty())
            && matches!(&all.loop_cond.expr, Expr::Literal(LiteralValue::Boolean(truth)) if !*truth.inner())
            && all.accu_var != "@result";
        if is_bind {
            let result = self.node(&all.result);
            self.locals.truncate(depth);
            let cost = range.cost.saturating_add(made.cost).saturating_add(result.cost);
            return self.made(tree, cost, result.size, result.entry);
        }
        let is_list =
            range.entry.map_or(matches!(range.of, Type::Made(Kind::List, _)), |entry| entry.is_list);
        let key = (if is_list { "@indices" } else { "@keys" }, range.entry.map(|entry| entry.key));
        let value = (if is_list { "@items" } else { "@values" }, range.entry.map(|entry| entry.value));
        let mut variables =
            vec![(&all.iter_var, if is_list && all.iter_var2.is_none() { value } else { key })];
        variables.extend(all.iter_var2.as_ref().map(|name| (name, value)));
        for (name, (part, size)) in variables {
            self.locals.push(Local { name, path: joined(range.path.clone(), part), size, entry: None });
        }
        let (going_on, step) = (self.node(&all.loop_cond), self.node(&all.loop_step));
        self.locals.truncate(depth.saturating_add(1));
        let result = self.node(&all.result);
        self.locals.truncate(depth);
        let rounds = range.size().most.saturating_mul(going_on.cost.saturating_add(step.cost));
        let cost = [made.cost, result.cost, rounds].into_iter().fold(range.cost, u64::saturating_add);
        match &all.accu_init.expr {
            Expr::Literal(_) => self.made(tree, cost, made.size, None),
            Expr::List(_) | Expr::Map(_) => self.made(tree, cost, Some(range.size()), step.entry),
            _ => self.made(tree, cost, None, None),
        }
    }
}

fn joined<'a>(mut path: Vec<&'a str>, part: &'a str) -> Vec<&'a str> {
    path.push(part);
    path
}

fn all(nodes: &[Node<'_>]) -> Size {
    nodes.iter().map(Node::size).reduce(Size::union).unwrap_or(Size::fixed(0))
}

fn sum(nodes: &[Node<'_>], own: u64) -> u64 {
    nodes.iter().map(|node| node.cost).fold(own, u64::saturating_add)
}

/// Is as large as any other value of the type.
fn is_scalar(of: &Type<'_>) -> bool {
    match of.unwrapped().0 {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        inner @ Type::Made(Kind::Optional, _) => is_scalar(inner),
        _ => false,
    }
}

fn whole(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
