//! The macros of rules that the parser does not expand: those of optional values, and those with two variables.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, MapExpr, operators,
};

use super::rule_parse::Problem;
use super::rule_tree::{call, ident, method, parts, size};

/// What a comprehension makes its result of.
const RESULT: &str = "@result";
/// What is sorted.
const SORTED: &str = "@sorted";
/// How many parts may be repeated, as macros of optional values repeat what they are called on.
const MOST_COPIES: usize = 10_000;

/// Puts in the place of macros what they stand for.
pub(super) fn expand(mut tree: IdedExpr) -> Result<IdedExpr, Problem> {
    Expander { copies: 0 }.all(&mut tree)?;
    Ok(tree)
}

struct Expander {
    copies: usize,
}

impl Expander {
    fn all(&mut self, tree: &mut IdedExpr) -> Result<(), Problem> {
        for part in parts(&mut tree.expr) {
            self.all(part)?;
        }
        let Expr::Call(CallExpr { func_name, target: Some(_), args }) = &tree.expr else { return Ok(()) };
        let is_macro = match func_name.as_str() {
            "optMap" | "optFlatMap" => args.len() == 2,
            "all" | "exists" | "exists_one" | "existsOne" => args.len() == 3,
            "sortBy" => args.len() == 2,
            "transformList" | "transformMap" | "transformMapEntry" => matches!(args.len(), 3 | 4),
            _ => false,
        };
        if !is_macro {
            return Ok(());
        }
        let id = tree.id;
        if let Expr::Call(CallExpr { func_name, target: Some(target), args }) = std::mem::take(&mut tree.expr)
        {
            *tree = match func_name.as_str() {
                "optMap" | "optFlatMap" => self.of_optional(id, &func_name, *target, args)?,
                "sortBy" => sorted(id, *target, args)?,
                _ => with_two_variables(id, &func_name, *target, args)?,
            };
        }
        Ok(())
    }

    /// `target.hasValue() ? optional.of(..) : optional.none()`, with a loop that has no rounds around what is made of
    /// the value, so that it has the name that is asked for.
    fn of_optional(
        &mut self,
        id: u64,
        name: &str,
        mut target: IdedExpr,
        args: Vec<IdedExpr>,
    ) -> Result<IdedExpr, Problem> {
        let [variable, made] = <[IdedExpr; 2]>::try_from(args).unwrap_or_default();
        let Expr::Ident(variable_name) = &variable.expr else {
            return Err(Problem::new(
                variable.id,
                format!("{name}() variable name must be a simple identifier"),
            ));
        };
        self.copies = self.copies.saturating_add(size(&mut target));
        if self.copies > MOST_COPIES {
            return Err(Problem::new(id, "expression is too large"));
        }
        let made = bind(id, variable_name, method(id, target.clone(), "value"), made);
        let optional = |function: &str, args: Vec<IdedExpr>| {
            let target = Some(Box::new(ident(id, "optional")));
            IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target, args }) }
        };
        let made = if name == "optMap" { optional("of", vec![made]) } else { made };
        let none = optional("none", Vec::new());
        Ok(call(id, operators::CONDITIONAL, vec![method(id, target, "hasValue"), made, none]))
    }
}

/// An expression in which a value has a name.
pub(super) fn bind(id: u64, name: &str, value: IdedExpr, within: IdedExpr) -> IdedExpr {
    loop_over(
        id,
        list(id, Vec::new()),
        ["#unused", ""],
        name,
        [value, literal(id, LiteralValue::Boolean(false.into())), ident(id, name), within],
    )
}

/// A list, ordered by what is made of each item.
fn sorted(id: u64, target: IdedExpr, args: Vec<IdedExpr>) -> Result<IdedExpr, Problem> {
    let [item, key] = <[IdedExpr; 2]>::try_from(args).unwrap_or_default();
    let more = call(id, operators::ADD, vec![ident(id, RESULT), list(id, vec![key])]);
    let always = literal(id, LiteralValue::Boolean(true.into()));
    let steps = [list(id, Vec::new()), always, more, ident(id, RESULT)];
    let keys = loop_over(id, ident(id, SORTED), [&variable(&item)?, ""], RESULT, steps);
    let mut sorted = method(id, ident(id, SORTED), "@sortByAssociatedKeys");
    if let Expr::Call(call) = &mut sorted.expr {
        call.args.push(keys);
    }
    Ok(bind(id, SORTED, target, sorted))
}

/// The name of a variable.
fn variable(variable: &IdedExpr) -> Result<String, Problem> {
    match &variable.expr {
        Expr::Ident(name) if name == RESULT || name == "__result__" => {
            Err(Problem::new(variable.id, "iteration variable overwrites accumulator variable"))
        }
        Expr::Ident(name) => Ok(name.clone()),
        _ => Err(Problem::new(variable.id, "argument must be a simple name")),
    }
}

fn with_two_variables(
    id: u64,
    name: &str,
    range: IdedExpr,
    mut args: Vec<IdedExpr>,
) -> Result<IdedExpr, Problem> {
    let made = args.pop().unwrap_or_default();
    let mut args = args.into_iter();
    let (first, second, filter) =
        (args.next().unwrap_or_default(), args.next().unwrap_or_default(), args.next());
    let (key, value) = (variable(&first)?, variable(&second)?);
    if key == value {
        return Err(Problem::new(second.id, format!("duplicate variable name: {key}")));
    }
    let result = || ident(id, RESULT);
    let truth = |value: bool| literal(id, LiteralValue::Boolean(value.into()));
    let number = |value: i64| literal(id, LiteralValue::Int(value.into()));
    let going_on = |so_far: IdedExpr| call(id, operators::NOT_STRICTLY_FALSE, vec![so_far]);
    let choose = |filter: Option<IdedExpr>, step: IdedExpr| match filter {
        Some(filter) => call(id, operators::CONDITIONAL, vec![filter, step, result()]),
        None => step,
    };
    let steps = match name {
        "all" => [
            truth(true),
            going_on(result()),
            call(id, operators::LOGICAL_AND, vec![result(), made]),
            result(),
        ],
        "exists" => [
            truth(false),
            going_on(call(id, operators::LOGICAL_NOT, vec![result()])),
            call(id, operators::LOGICAL_OR, vec![result(), made]),
            result(),
        ],
        "exists_one" | "existsOne" => [
            number(0),
            truth(true),
            choose(Some(made), call(id, operators::ADD, vec![result(), number(1)])),
            call(id, operators::EQUALS, vec![result(), number(1)]),
        ],
        "transformList" => [
            list(id, Vec::new()),
            truth(true),
            choose(filter, call(id, operators::ADD, vec![result(), list(id, vec![made])])),
            result(),
        ],
        _ => {
            let inserted = match name {
                "transformMap" => vec![result(), ident(id, &key), made],
                _ => vec![result(), made],
            };
            let none = IdedExpr { id, expr: Expr::Map(MapExpr::default()) };
            [none, truth(true), choose(filter, call(id, "cel.@mapInsert", inserted)), result()]
        }
    };
    Ok(loop_over(id, range, [&key, &value], RESULT, steps))
}

/// A loop, with what the result begins as, how long it goes on, what each round makes, and what comes out. A second
/// variable without a name is none.
fn loop_over(
    id: u64,
    range: IdedExpr,
    [first, second]: [&str; 2],
    accumulated: &str,
    [accu_init, loop_cond, loop_step, result]: [IdedExpr; 4],
) -> IdedExpr {
    let all = ComprehensionExpr {
        iter_range: range,
        iter_var: first.to_owned(),
        iter_var2: (!second.is_empty()).then(|| second.to_owned()),
        accu_var: accumulated.to_owned(),
        accu_init,
        loop_cond,
        loop_step,
        result,
    };
    IdedExpr { id, expr: Expr::Comprehension(Box::new(all)) }
}

fn list(id: u64, elements: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::List(ListExpr::new(elements)) }
}

fn literal(id: u64, value: LiteralValue) -> IdedExpr {
    IdedExpr { id, expr: Expr::Literal(value) }
}
