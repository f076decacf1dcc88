//! `wheelhouse config`: the configuration that a command would have, and where each value comes from.
//!
//! What it prints as YAML is a file for `--config`. There is nothing secret in it: flags name files and
//! addresses, and hold no credentials.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::cli::ConfigOutput;
use crate::config_file::{self, ConfigFile, SERVED, SHOW, key};

/// One key, and what it would be.
struct Entry {
    key: String,
    value: Option<String>,
    from: String,
    help: String,
}

/// Prints what was asked for, if this is that command; whether it is.
pub(crate) fn shown(command: &Command, matches: &ArgMatches, file: &ConfigFile) -> Option<String> {
    let (SHOW, asked) = matches.subcommand()? else { return None };
    let show = command.find_subcommand(SHOW)?;
    let of = match asked.subcommand() {
        Some((name, matches)) => text(show, name, matches, file),
        None => {
            let name = SERVED[0];
            let matches = show.clone().try_get_matches_from([SHOW, name]);
            // An environment with a mistake in it ends this as it would end that.
            let matches = matches.unwrap_or_else(|error| error.exit());
            text(show, name, matches.subcommand_matches(name)?, file)
        }
    }?;
    Some(match asked.get_one("output") {
        Some(ConfigOutput::Json) => json(&of.1),
        _ => yaml(&of.0, &of.1, asked.get_flag("explain")),
    })
}

fn text(show: &Command, name: &str, matches: &ArgMatches, file: &ConfigFile) -> Option<(String, Vec<Entry>)> {
    let served = show.find_subcommand(name)?;
    let mut entries: Vec<Entry> = served
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| entry(arg, matches, file))
        .collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    Some((name.to_owned(), entries))
}

fn entry(arg: &Arg, matches: &ArgMatches, file: &ConfigFile) -> Option<Entry> {
    let key = key(arg)?;
    let id = arg.get_id().as_str();
    let values = matches.get_raw(id).map(|values| values.map(|v| v.to_string_lossy()).collect::<Vec<_>>());
    let value = values.map(|values| values.join(","));
    let from = match (matches.value_source(id), &file.path) {
        (Some(ValueSource::CommandLine), _) => "flag".to_owned(),
        (Some(ValueSource::EnvVariable), _) => {
            format!("environment {}", arg.get_env().unwrap_or_default().display())
        }
        (Some(_), Some(path)) if file.value(&key).is_some() => format!("file {}", config_file::shown(path)),
        (Some(_), _) => "default".to_owned(),
        (None, _) => "not set".to_owned(),
    };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    Some(Entry { key, value, from, help })
}

fn yaml(command: &str, entries: &[Entry], explain: bool) -> String {
    let mut out = format!("# The configuration of `wheelhouse {command}`: a file for --config.\n");
    for Entry { key, value, from, help } in entries {
        if explain {
            out.push('\n');
            for line in help.lines() {
                out.push_str(format!("# {line}").trim_end());
                out.push('\n');
            }
        }
        out.push_str(&match value {
            Some(value) => format!("{key}: {} # {from}\n", scalar(value)),
            None => format!("# {key}: # {from}\n"),
        });
    }
    out
}

/// A text that YAML reads back as it is.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-:".contains(c);
    let begins = |c: char| c.is_ascii_alphanumeric() || "./".contains(c);
    let ends_well = !text.ends_with(':') && text.starts_with(begins) && text.chars().all(plain);
    // Words that some readers take for something else.
    let word = ["null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if ends_well && !word { text.to_owned() } else { Value::from(text).to_string() }
}

fn json(entries: &[Entry]) -> String {
    let typed = |text: &str| match serde_json::from_str(text) {
        // Whatever is written otherwise than a number would be is a text that looks like one.
        Ok(value @ (Value::Bool(_) | Value::Number(_))) if format!("{value}") == text => value,
        _ => Value::from(text),
    };
    let of = |entry: &Entry| {
        let value = entry.value.as_deref().map(typed);
        (entry.key.clone(), json!({"value": value, "from": entry.from}))
    };
    let all: Map<String, Value> = entries.iter().map(of).collect();
    format!("{:#}\n", Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_could_misread_is_quoted() {
        for text in ["./plugins", "127.0.0.1:9440", "2Gi", "10", "true", "http://127.0.0.1:4318"] {
            assert_eq!(scalar(text), text);
        }
        for text in
            ["", "no", "a b", "a: b", "a #b", "*", "-x", "a:", "info,plugin=debug", "\"", "é\n", "[a]"]
        {
            assert_eq!(scalar(text), Value::from(text).to_string());
        }
    }
}
