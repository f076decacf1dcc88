//! What is written down in a rule, and wrong in itself: lists of several types, and texts that are no points in time,
//! durations or patterns.

use kube_cel::cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::bindings::Bindings;
use super::types::Type;
use crate::schema::rule_parse::Problem;
use crate::schema::{pattern, rule_values};

/// Parts of an expression, with their types.
type Items<'a> = Vec<(u64, Type<'a>)>;

#[derive(Debug, Default)]
pub(super) struct Literals<'a> {
    problems: Vec<Problem>,
    lists: Vec<Items<'a>>,
    /// The keys, and the values, of maps.
    maps: Vec<Items<'a>>,
    /// What a text is formatted with may be of several types.
    is_formatted: bool,
}

impl<'a> Literals<'a> {
    /// Goes on to the arguments of a function; gives what to leave with.
    pub(super) fn enter(&mut self, function: &str) -> bool {
        let outside = self.is_formatted;
        self.is_formatted = outside || function == "format";
        outside
    }

    pub(super) fn leave(&mut self, outside: bool) {
        self.is_formatted = outside;
    }

    pub(super) fn see_list(&mut self, items: Items<'a>) {
        if !self.is_formatted {
            self.lists.push(items);
        }
    }

    pub(super) fn see_map(&mut self, keys: Items<'a>, values: Items<'a>) {
        if !self.is_formatted {
            self.maps.extend([keys, values]);
        }
    }

    pub(super) fn see_call(&mut self, function: &str, call: &CallExpr) {
        let Some(IdedExpr { id, expr: Expr::Literal(LiteralValue::String(text)) }) = call.args.last() else {
            return;
        };
        let text = text.inner();
        let is_fit = match function {
            "duration" if call.target.is_none() => rule_values::duration(text).is_some(),
            "timestamp" if call.target.is_none() => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
            "matches" => pattern::compile(text).is_ok(),
            _ => true,
        };
        if !is_fit {
            self.problems.push(Problem::new(*id, format!("invalid {function} argument")));
        }
    }

    /// All that is wrong, if nothing else is.
    pub(super) fn problems(&mut self, bindings: &mut Bindings<'a>) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        for items in std::mem::take(&mut self.lists) {
            problems.extend(others(items, bindings).into_iter().take(1));
        }
        for items in std::mem::take(&mut self.maps) {
            problems.extend(others(items, bindings));
        }
        problems
    }
}

/// A problem for each item that is of another type than the first.
fn others<'a>(items: Items<'a>, bindings: &mut Bindings<'a>) -> Vec<Problem> {
    let mut items = items.into_iter().map(|(id, found)| (id, bindings.resolve(&found)));
    let Some((_, wanted)) = items.next() else { return Vec::new() };
    let others = items
        .filter(|(_, found)| !is_open_within(&wanted) && !is_open_within(found) && !found.is_same(&wanted));
    others
        .map(|(id, found)| Problem::new(id, format!("expected type '{wanted}' but found '{found}'")))
        .collect()
}

/// Whether a type is not known in all its parts.
fn is_open_within(of: &Type<'_>) -> bool {
    matches!(of, Type::Unsure | Type::Var(_)) || of.parts().iter().any(is_open_within)
}
