//! Reading an expression: `||` binds least, then `&&`, then `!`. Blanks do not count.

use std::str::FromStr;

use super::{Atom, Expression, PREDICATE_ATOMS, PREDICATE_BYTES, PREDICATE_DEPTH, Predicate};
use crate::FieldPath;
use crate::printable::excerpt;

/// What may stand where a condition does.
const WORDS: &str = "generation-changed, labels-changed, annotations-changed, resource-version-changed, \
                     created, deleted, or field-changed(.a.path)";

/// The text is no predicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("predicate {predicate:?}, at byte {at}: {problem}")]
pub struct BadPredicate {
    predicate: String,
    at: usize,
    problem: String,
}

impl BadPredicate {
    /// Where, in bytes from the beginning.
    pub fn at(&self) -> usize {
        self.at
    }
}

/// Where it is wrong, and how.
type Problem = (usize, String);

impl FromStr for Predicate {
    type Err = BadPredicate;

    fn from_str(text: &str) -> Result<Self, BadPredicate> {
        let bad = |(at, problem)| BadPredicate { predicate: excerpt(text), at, problem };
        if text.len() > PREDICATE_BYTES {
            let problem = format!("it has {} bytes, at most {PREDICATE_BYTES} may be", text.len());
            return Err(bad((PREDICATE_BYTES, problem)));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader { text, rest: text, depth: 0, atoms: 0 };
        let expression = reader.any().map_err(bad)?;
        match reader.rest {
            "" => Ok(Self(Some(expression))),
            rest if rest.starts_with(')') => Err(bad(reader.problem("no parenthesis is open here"))),
            _ => Err(bad(reader.problem("write && or || between two conditions"))),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Begins with no blank, once something was taken.
    rest: &'a str,
    depth: usize,
    atoms: usize,
}

impl Reader<'_> {
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn problem(&self, problem: impl Into<String>) -> Problem {
        (self.at(), problem.into())
    }

    /// Takes a sign and the blanks after it, if it is there.
    fn takes(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest.trim_start();
        true
    }

    fn any(&mut self) -> Result<Expression, Problem> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.takes("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, Problem> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.takes("&&") {
            parts.push(self.one()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, Problem> {
        self.rest = self.rest.trim_start();
        if self.depth > PREDICATE_DEPTH {
            return Err(self.problem(format!("it is nested deeper than {PREDICATE_DEPTH} levels")));
        }
        self.depth += 1;
        let expression = if self.takes("!") {
            Expression::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            if !self.takes(")") {
                return Err(self.problem("a parenthesis is not closed: write && or || to go on, or )"));
            }
            inner
        } else {
            Expression::Atom(self.atom()?)
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn atom(&mut self) -> Result<Atom, Problem> {
        self.atoms += 1;
        if self.atoms > PREDICATE_ATOMS {
            return Err(self.problem(format!("at most {PREDICATE_ATOMS} conditions may be in a predicate")));
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let atom = match word {
            "generation-changed" => Atom::GenerationChanged,
            "labels-changed" => Atom::LabelsChanged,
            "annotations-changed" => Atom::AnnotationsChanged,
            "resource-version-changed" => Atom::ResourceVersionChanged,
            "created" => Atom::Created,
            "deleted" => Atom::Deleted,
            "field-changed" => {
                self.rest = after.trim_start();
                return Ok(Atom::FieldChanged(self.path()?));
            }
            "" => return Err(self.problem(format!("a condition is missing: write {WORDS}"))),
            odd => return Err(self.problem(format!("{:?} is no condition: write {WORDS}", excerpt(odd)))),
        };
        self.rest = after.trim_start();
        Ok(atom)
    }

    /// A path in parentheses.
    fn path(&mut self) -> Result<FieldPath, Problem> {
        if !self.takes("(") {
            return Err(self.problem("a field path is missing: write field-changed(.spec.replicas)"));
        }
        let end = path_end(self.rest);
        let (path, after) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let path =
            path.trim_end().parse().map_err(|error: crate::path::BadPath| self.problem(error.to_string()))?;
        self.rest = after;
        if !self.takes(")") {
            return Err(self.problem("the parenthesis after the field path is not closed"));
        }
        Ok(path)
    }
}

/// Where the parenthesis after a path is: a quoted name in the path may have some of its own.
fn path_end(text: &str) -> usize {
    let (mut quoted, mut before) = (false, ' ');
    for (at, c) in text.char_indices() {
        match (quoted, before, c) {
            (false, _, ')') => return at,
            (false, '[', '\'') => {
                (quoted, before) = (true, ' ');
                continue;
            }
            (true, '\'', ']') => quoted = false,
            _ => {}
        }
        before = c;
    }
    text.len()
}

fn one_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            several(parts)
        }
    }
}
