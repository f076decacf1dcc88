//! Expressions of rules, from text to what can be checked, and to what can be run.

use std::fmt::Write;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::SourceInfo;
use kube_cel::cel::parser::{ParseError, Parser};

use super::rule_cost::Cost;
use super::{rule_macros, rule_runnable};

/// How long an expression may be.
pub(super) const LONGEST_RULE: usize = 16 * 1024;
/// How deep an expression may be nested.
const MOST_NESTED: u32 = 128;
/// How deep parentheses and arguments may be nested, as the parser counts.
const MOST_RECURSIONS: u16 = 250;
/// Only what is used of it becomes memory.
const PARSER_STACK: usize = 256 * 1024 * 1024;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The part of the expression.
    pub(super) id: u64,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(id: u64, message: impl Into<String>) -> Self {
        Self { id, message: message.into() }
    }
}

/// Parses an expression and expands the macros that the parser does not know; the error says what is wrong with it,
/// as the real server's library says it.
///
/// The parser recurses as deep as the expression is nested (`1 + 1 + 1` is, too), before anybody can say that this
/// is too deep. So it gets a thread with a stack that lasts for the longest expression.
pub(super) fn parse(text: &str) -> Result<IdedExpr, String> {
    let failed = || "ERROR: <input>:1:1: the expression cannot be parsed".to_owned();
    if text.len() > LONGEST_RULE {
        return Err(failed());
    }
    std::thread::scope(|scope| {
        let parse = || {
            let tree = match parser().parse(text) {
                Ok(tree) => tree,
                Err(errors) => {
                    let shown = |error: &ParseError| shown(text, place(error.pos.0, error.pos.1), &error.msg);
                    let told: Vec<_> =
                        errors.errors.iter().filter(|error| !is_internal(error)).map(shown).collect();
                    return Err(if told.is_empty() { failed() } else { told.join("\n") });
                }
            };
            if Cost::of(&tree).nesting > MOST_NESTED {
                return Err(too_deep());
            }
            let tree = rule_macros::expand(tree).map_err(|problem| report(text, &[problem]))?;
            let nesting = Cost::of(&runnable(&tree, true)).nesting;
            if nesting > MOST_NESTED { Err(too_deep()) } else { Ok(tree) }
        };
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        thread.map_or_else(|_| Err(failed()), |thread| thread.join().unwrap_or_else(|_| Err(failed())))
    })
}

/// What can be run of a parsed expression; `old_is_optional` tells what `oldSelf` is.
pub(super) fn runnable(tree: &IdedExpr, old_is_optional: bool) -> IdedExpr {
    rule_runnable::rewrite(tree, old_is_optional)
}

/// All that is wrong with an expression, with the places.
pub(super) fn report(text: &str, problems: &[Problem]) -> String {
    let info = positions(text);
    let of = |id: u64| {
        let (start, _) = info.as_ref()?.offset_for(id.checked_add(1)?)?;
        let before = text.get(..usize::try_from(start.checked_sub(1)?).ok()?)?;
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let column = before.get(line_start..)?.chars().count();
        Some((before.matches('\n').count(), column))
    };
    let mut placed: Vec<_> =
        problems.iter().map(|one| (of(one.id).unwrap_or((0, 0)), &one.message)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.dedup();
    placed.iter().map(|(place, message)| shown(text, *place, message)).collect::<Vec<_>>().join("\n")
}

/// Tells of the parser's insides rather than of the expression.
fn is_internal(error: &ParseError) -> bool {
    ["Incomplete `", "No `", "unexpected character, wanted", "UNKNOWN"]
        .iter()
        .any(|start| error.msg.starts_with(start))
}

fn parser() -> Parser {
    Parser::default().enable_optional_syntax(true).max_recursion_depth(MOST_RECURSIONS)
}

fn too_deep() -> String {
    format!("ERROR: <input>:1:1: expression is nested more than {MOST_NESTED} levels deep")
}

/// Where the parts of an expression are. The parser tells that with its errors only: so this is the expression in a
/// list with a number that there is not, in which every part has the next higher id, and begins one byte later.
fn positions(text: &str) -> Option<std::sync::Arc<SourceInfo>> {
    let wrong = format!("[{text}\n, 99999999999999999999]");
    std::thread::scope(|scope| {
        let parse = || parser().parse(&wrong).err()?.errors.into_iter().find_map(|error| error.source_info);
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, parse);
        thread.ok()?.join().ok()?
    })
}

/// The line and the column, both from 0, of what the parser counts from 1.
fn place(line: isize, column: isize) -> (usize, usize) {
    let from_0 = |number: isize| usize::try_from(number).unwrap_or_default().saturating_sub(1);
    (from_0(line), from_0(column))
}

/// A message with its place, and the line with the place marked.
fn shown(text: &str, (line, column): (usize, usize), message: &str) -> String {
    let mut shown =
        format!("ERROR: <input>:{}:{}: {message}", line.saturating_add(1), column.saturating_add(1));
    if let Some(snippet) = text.lines().nth(line).or_else(|| text.is_empty().then_some("")) {
        let snippet = snippet.replace('\t', " ");
        let _ = write!(shown, "\n | {snippet}\n | ");
        let mut letters = snippet.chars();
        for letter in letters.by_ref().take(column) {
            shown.push(if letter.is_ascii() { '.' } else { '\u{ff0e}' });
        }
        shown.push(if letters.next().is_none_or(|letter| letter.is_ascii()) { '^' } else { '\u{ff3e}' });
    }
    shown
}
