//! What the demo looks like: short lines, and colour where there is a terminal to show it.

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

/// A line that is longer is broken.
const WIDTH: usize = 100;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

pub(crate) struct Screen {
    colour: bool,
}

/// A line of the summary.
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) seen: String,
    pub(crate) time: Duration,
}

impl Screen {
    /// Colour on a terminal, unless NO_COLOR says otherwise (https://no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colour: !unwanted && io::stdout().is_terminal() }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn heading(&self, number: usize, of: usize, title: &str) {
        println!("\n{}", self.paint(BOLD, &format!("{number:>2}/{of}  {title}")));
    }

    /// What a person would type. It is not broken, so that it can be copied.
    pub(crate) fn command(&self, line: &str) {
        println!("       {}", self.paint(CYAN, &format!("$ {line}")));
    }

    /// A question that is not asked by a command.
    pub(crate) fn question(&self, line: &str) {
        println!("       {}", self.paint(CYAN, &format!("> {line}")));
    }

    /// What was answered. Tables keep their lines.
    pub(crate) fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("{}", format!("         {line}").trim_end());
        }
    }

    /// Prose that was answered.
    pub(crate) fn prose(&self, text: &str) {
        for line in wrapped(text, WIDTH - 9) {
            println!("         {line}");
        }
    }

    /// What somebody else said meanwhile.
    pub(crate) fn aside(&self, who: &str, text: &str) {
        for line in text.lines() {
            println!("       {}", self.paint(DIM, &format!("{who} | {line}")));
        }
    }

    pub(crate) fn ok(&self, seen: &str, time: Duration) {
        let seen = format!("{seen:<width$}", width = WIDTH - 7 - 4 - 8);
        println!("       {}  {seen}{:>6}", self.paint(GREEN, "ok"), seconds(time));
    }

    pub(crate) fn failed(&self, time: Duration) {
        println!("       {}  after {}", self.paint(RED, "FAILED"), seconds(time));
    }

    pub(crate) fn summary(&self, lines: &[Line]) {
        println!();
        let table = table(lines);
        for (at, line) in table.iter().enumerate() {
            println!("{}", if at == 0 { self.paint(BOLD, line) } else { line.clone() });
        }
        println!();
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

const SEEN: &str = "what was seen";

fn table(lines: &[Line]) -> Vec<String> {
    let longest = |of: fn(&Line) -> &str| lines.iter().map(|line| of(line).chars().count()).max();
    let step = longest(|line| &line.step).unwrap_or_default();
    let seen = longest(|line| &line.seen).unwrap_or_default().max(SEEN.len());
    let row = |number: &str, line: [&str; 2], time: &str| {
        format!("{number:>4}  {:<step$}  {:<seen$}  {time:>7}", line[0], line[1])
    };
    let rows = lines
        .iter()
        .enumerate()
        .map(|(at, line)| row(&(at + 1).to_string(), [&line.step, &line.seen], &seconds(line.time)));
    std::iter::once(row("", ["step", SEEN], "time")).chain(rows).collect()
}

/// A text in lines of at most `width` characters; a longer word has its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("extraordinary a", 4), ["extraordinary", "a"]);
        assert!(wrapped(" ", 4).is_empty());
    }

    #[test]
    fn the_summary_is_aligned() {
        let line = |step: &str, seen: &str, millis| Line {
            step: step.into(),
            seen: seen.into(),
            time: Duration::from_millis(millis),
        };
        let table = table(&[line("up", "3 plugins", 4_200), line("deleted", "–", 12_340)]);
        assert_eq!(
            table,
            [
                "      step     what was seen     time",
                "   1  up       3 plugins        4.2 s",
                "   2  deleted  –               12.3 s",
            ]
        );
    }

    #[test]
    fn without_colour_text_is_plain() {
        assert_eq!(Screen { colour: false }.paint(RED, "text"), "text");
        assert_eq!(Screen { colour: true }.paint(RED, "text"), "\u{1b}[31mtext\u{1b}[0m");
    }
}
