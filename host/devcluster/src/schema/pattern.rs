//! The regular expressions of schemas, as Go reads them: its RE2 syntax is that of the regex crate in all but a few
//! places.

use regex::{Regex, RegexBuilder};

/// How large a compiled expression may be.
const MOST_BYTES: usize = 1 << 20;

/// Compiles the pattern of a schema; the error says what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(&translated(pattern)).size_limit(MOST_BYTES).build();
    // The regex crate draws its errors over several lines; the last one says what is wrong.
    built.map_err(|error| {
        error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// The expression in the regex crate's words: in Go's, the classes of Perl are ASCII, and within brackets another opening
/// bracket, `&` and `~` mean themselves.
fn translated(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let (mut in_brackets, mut in_name) = (false, false);
    let mut previous = ' ';
    while let Some(next) = rest.next() {
        match next {
            '\\' => {
                let escaped = rest.next();
                match (escaped, escaped.and_then(|letter| class(letter, in_brackets))) {
                    (_, Some(class)) => result.push_str(class),
                    (letter, None) => {
                        result.push('\\');
                        result.extend(letter);
                    }
                }
            }
            '[' if in_brackets && rest.peek() == Some(&':') => {
                in_name = true;
                result.push('[');
            }
            '[' if in_brackets => result.push_str("\\["),
            '[' => {
                in_brackets = true;
                result.push('[');
                result.extend(rest.next_if_eq(&'^'));
                // A closing bracket that comes first means itself.
                if rest.next_if_eq(&']').is_some() {
                    result.push_str("\\]");
                }
            }
            ']' if in_name && previous == ':' => {
                in_name = false;
                result.push(']');
            }
            ']' => {
                in_brackets = false;
                result.push(']');
            }
            '&' | '~' if in_brackets => {
                result.push('\\');
                result.push(next);
            }
            other => result.push(other),
        }
        previous = next;
    }
    result
}

/// What a class of Perl stands for.
fn class(letter: char, in_brackets: bool) -> Option<&'static str> {
    Some(match (letter, in_brackets) {
        ('d', true) => "0-9",
        ('w', true) => "0-9A-Za-z_",
        ('s', true) => r"\t\n\x0C\r ",
        ('d', false) => "[0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('s', false) => r"[\t\n\x0C\r ]",
        ('D', _) => "[^0-9]",
        ('W', _) => "[^0-9A-Za-z_]",
        ('S', _) => r"[^\t\n\x0C\r ]",
        ('b', false) => r"(?-u:\b)",
        // Where the crate would have it between the bytes of a character, and so refuse it.
        ('B', false) => r"(?-u:\B)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_brackets_hold_what_go_lets_them_hold() {
        for (pattern, good, bad) in [
            (r"^\d\w\s$", "1a ", "١a "),
            (r"^\D$", "١", "1"),
            (r"^[\W]+$", "é-", "a"),
            (r"^[^\d]$", "a", "7"),
            (r"^[[&~]+$", "[&~", "x"),
            (r"^[]a]+$", "]a", "["),
            (r"^[^]a]$", "[", "]"),
            (r"^[[:alpha:]-]+$", "a-b", "1"),
            ("^[a:]b$", ":b", "a"),
            (r"^\[a\]$", "[a]", "a"),
            (r"^a\b.$", "aé", "ab"),
            (r"^\p{L}$", "é", "1"),
            (r"(?i)^a$", "A", "b"),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(good) && !regex.is_match(bad), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_expression_or_a_very_large_one_is_refused() {
        assert!(compile("(").unwrap_err().contains("unclosed group"));
        assert!(compile("([a-z]{100}){1000}").is_err());
    }
}
