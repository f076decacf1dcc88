//! From a text to a label selector.

use std::str::FromStr;

use super::{BadSelector, Condition, LabelSelector, Requirement, SELECTOR_BYTES};
use crate::printable::excerpt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'a str),
    End,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn next(&mut self) -> Token<'a> {
        let (token, len) = self.look();
        self.at += len;
        token
    }

    fn peek(&mut self) -> Token<'a> {
        self.look().0
    }

    fn look(&mut self) -> (Token<'a>, usize) {
        self.skip_spaces();
        let rest = self.rest();
        for sign in ["==", "!=", "=", "!", ",", "(", ")", "<", ">"] {
            if rest.starts_with(sign) {
                return (Token::Sign(sign), sign.len());
            }
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=!,()<>".contains(c)).unwrap_or(rest.len());
        match rest.get(..end) {
            Some(word) if !word.is_empty() => (Token::Word(word), end),
            _ => (Token::End, 0),
        }
    }

    fn bad(&self, problem: impl Into<String>) -> BadSelector {
        BadSelector { selector: excerpt(self.text), at: self.at, problem: problem.into() }
    }

    fn word(&mut self, what: &str, good: fn(&str) -> bool) -> Result<String, BadSelector> {
        self.skip_spaces();
        match self.peek() {
            Token::Word(word) if good(word) => {
                self.next();
                Ok(word.to_owned())
            }
            Token::Word(word) => Err(self.bad(format!("{:?} is no {what}", excerpt(word)))),
            _ => Err(self.bad(format!("a {what} is missing"))),
        }
    }

    fn value(&mut self) -> Result<String, BadSelector> {
        match self.peek() {
            // `a=` and `in (a,)` mean the empty value.
            Token::End | Token::Sign("," | ")") => Ok(String::new()),
            _ => self.word("label value", is_label_value),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, BadSelector> {
        if self.next() != Token::Sign("(") {
            return Err(self.bad("'(' is missing"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            match self.next() {
                Token::Sign(",") => {}
                Token::Sign(")") => break,
                _ => return Err(self.bad("',' or ')' is missing")),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    fn integer(&mut self) -> Result<i64, BadSelector> {
        let word = self.word("integer", |_| true)?;
        word.parse().map_err(|_| self.bad(format!("{:?} is no integer", excerpt(&word))))
    }

    fn requirement(&mut self) -> Result<Requirement, BadSelector> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let label = self.word("label name", is_label_name)?;
        if absent {
            return Ok(Requirement { label, condition: Condition::Absent });
        }
        let condition = match self.peek() {
            Token::End | Token::Sign(",") => Condition::Exists,
            Token::Sign("=" | "==") => {
                self.next();
                Condition::In(vec![self.value()?])
            }
            Token::Sign("!=") => {
                self.next();
                Condition::NotIn(vec![self.value()?])
            }
            Token::Sign(">") => {
                self.next();
                Condition::Above(self.integer()?)
            }
            Token::Sign("<") => {
                self.next();
                Condition::Below(self.integer()?)
            }
            Token::Word("in") => {
                self.next();
                Condition::In(self.values()?)
            }
            Token::Word("notin") => {
                self.next();
                Condition::NotIn(self.values()?)
            }
            _ => return Err(self.bad("expected =, ==, !=, in, notin, <, > or ','")),
        };
        Ok(Requirement { label, condition })
    }
}

impl FromStr for LabelSelector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        let mut lexer = Lexer { text, at: 0 };
        if text.len() > SELECTOR_BYTES {
            return Err(lexer.bad(format!("it has {} bytes, at most {SELECTOR_BYTES} may be", text.len())));
        }
        let mut requirements = Vec::new();
        if lexer.peek() == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(lexer.requirement()?);
            match lexer.peek() {
                Token::End => return Ok(Self { requirements }),
                Token::Sign(",") => {
                    lexer.next();
                }
                _ => return Err(lexer.bad("expected ',' or the end")),
            }
        }
    }
}

/// Letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit; at most 63.
fn is_name_part(part: &str) -> bool {
    let alnum = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    part.len() <= 63
        && alnum(bytes.first())
        && alnum(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name_part(value)
}

fn is_label_name(name: &str) -> bool {
    match name.split_once('/') {
        None => is_name_part(name),
        Some((prefix, name)) => {
            !prefix.is_empty()
                && prefix.len() <= 253
                && prefix.split('.').all(|label| is_name_part(label) && !label.contains(['_', '.']))
                && is_name_part(name)
        }
    }
}
