//! The file of `--config`: each of its values becomes the default of the flag that its key names.
//!
//! So a flag counts before the environment, that before the file, and that before what is built in; and a
//! new flag of `run` or `dev` is a key by itself. One file serves both: a key of the one is ignored by the
//! other, and one that neither knows is an error.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, Command};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// The commands that a file serves.
pub(crate) const SERVED: [&str; 2] = ["run", "dev"];
/// The command that shows what they would have.
pub(crate) const SHOW: &str = "config";
/// The flag that names the file, and its variable.
const FLAG: &str = "config";
const VARIABLE: &str = "WHEELHOUSE_CONFIG";
/// How alike two names are before one is suggested for the other; clap's own measure.
const ALIKE: f64 = 0.7;

/// What a file says, checked against the flags.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    /// Where it is; none if there is none.
    pub(crate) path: Option<PathBuf>,
    /// By the flags' keys.
    values: Vec<(String, String)>,
}

impl ConfigFile {
    /// The one that the command line or the environment names, if there is one and the command takes one.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub(crate) fn of(command: &Command, args: &[OsString]) -> anyhow::Result<Self> {
        let Some(path) = named(args, std::env::var_os(VARIABLE)) else { return Ok(Self::default()) };
        let shown = path.display();
        let text = std::fs::read_to_string(&path).with_context(|| format!("--config {shown}"))?;
        let values = parse(command, &text).map_err(|problem| anyhow!("--config {shown}:{problem}"))?;
        Ok(Self { path: Some(path), values })
    }

    /// The command with the file's values as defaults.
    pub(crate) fn apply(&self, mut command: Command) -> Command {
        for name in SERVED {
            command = command.mut_subcommand(name, |served| self.defaults(served));
        }
        command.mut_subcommand(SHOW, |show| {
            // What is to be shown may lack what is needed to run.
            let of = |served: Command| self.defaults(served).mut_args(|arg| arg.required(false));
            SERVED.iter().fold(show, |show, name| show.mut_subcommand(*name, of))
        })
    }

    fn defaults(&self, command: Command) -> Command {
        command.mut_args(|arg| match key(&arg).and_then(|key| self.value(&key)) {
            Some(value) => arg.default_value(value.to_owned()).required(false),
            None => arg,
        })
    }

    /// What it says for a key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The key of a flag: its name in lowerCamelCase. None for what is no part of a configuration.
pub(crate) fn key(arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    let help = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort | ArgAction::Version
    );
    // What `wheelhouse config` itself takes is global; a file cannot name another file.
    if help || arg.is_global_set() || long == FLAG {
        return None;
    }
    let mut parts = long.split('-');
    let mut key = parts.next()?.to_owned();
    for part in parts {
        let mut letters = part.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        key.push_str(letters.as_str());
    }
    Some(key)
}

/// The file that the arguments, or else the environment, name. Before clap reads them, since clap has to
/// know the file's values by then; no value of a flag begins with a hyphen, so nothing else looks like it.
fn named(args: &[OsString], variable: Option<OsString>) -> Option<PathBuf> {
    let command = args.get(1)?.to_str()?;
    if command != SHOW && !SERVED.contains(&command) {
        return None;
    }
    let mut args = args.iter().skip(2).take_while(|arg| *arg != "--");
    let flag = format!("--{FLAG}");
    while let Some(arg) = args.next() {
        if **arg == *flag {
            return args.next().map(PathBuf::from);
        }
        let value = arg.to_str().and_then(|arg| arg.strip_prefix(&flag)?.strip_prefix('='));
        if let Some(value) = value {
            return Some(value.into());
        }
    }
    // An empty one is for clap to refuse.
    variable.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Why a file cannot be used. Its text goes on from the file's name: it begins with the line.
struct Problem {
    line: u64,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.what)
    }
}

/// A mapping of texts, in order, with the lines of its keys.
struct Entries(Vec<(Spanned<String>, Spanned<Option<String>>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of flags' names to their values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries(Vec::new()))
            }
        }
        deserializer.deserialize_map(Of)
    }
}

fn parse(command: &Command, text: &str) -> Result<Vec<(String, String)>, Problem> {
    // No key at all is no mistake: a file may have comments only.
    let content = |line: &str| !line.trim_start().starts_with('#') && !line.trim().is_empty();
    if !text.lines().any(content) {
        return Ok(Vec::new());
    }
    let entries: Entries = serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map_or(0, |location| location.line());
        let what = error.to_string();
        let hint = if what.contains("string scalar") {
            ": each key has one value, a text, a number, or true or false"
        } else {
            ""
        };
        Problem { line, what: format!("{}{hint}", one_line(&what)) }
    })?;
    let known: Vec<(String, &Arg)> = SERVED
        .iter()
        .filter_map(|name| command.find_subcommand(name))
        .flat_map(Command::get_arguments)
        .filter_map(|arg| Some((key(arg)?, arg)))
        .collect();
    let mut values = Vec::new();
    for (name, value) in entries.0 {
        let problem = |what: String| Problem { line: name.referenced.line(), what };
        let Some((key, arg)) = known.iter().find(|(key, _)| *key == name.value) else {
            return Err(problem(unknown(&name.value, known.iter().map(|(key, _)| key.as_str()))));
        };
        let Some(value) = value.value else {
            return Err(problem(format!("{key} has no value: give it one, or leave the key out")));
        };
        check(arg, &value).map_err(|error| problem(format!("{key}: {error:#}")))?;
        values.push((key.clone(), value));
    }
    Ok(values)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if name == FLAG {
        return format!("{name} is no key: a file cannot name another");
    }
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let spelt = known.clone().find(|key| plain(key) == plain(name));
    let alike = known.map(|key| (strsim::jaro(&plain(key), &plain(name)), key));
    let nearest = alike.filter(|(alike, _)| *alike > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
    match spelt.or(nearest.map(|(_, key)| key)) {
        Some(key) => format!("unknown key {name:?}; is it `{key}`?"),
        None => {
            format!("unknown key {name:?}; `wheelhouse config run --explain` prints those that there are")
        }
    }
}

/// Whether the flag would take the value, in clap's own words if not.
fn check(arg: &Arg, value: &str) -> anyhow::Result<()> {
    if let ArgAction::SetTrue | ArgAction::SetFalse = arg.get_action() {
        if !matches!(value, "true" | "false") {
            bail!("invalid value {value:?}: true or false is expected");
        }
        return Ok(());
    }
    let long = arg.get_long().unwrap_or_default();
    // By itself: it may be bound to other flags, which are not to be judged here.
    let mut alone = Arg::new("value").long(long.to_owned()).value_parser(arg.get_value_parser().clone());
    if let Some(names) = arg.get_value_names() {
        alone = alone.value_names(names.iter().cloned());
    }
    let alone = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(alone);
    let Err(error) = alone.try_get_matches_from([format!("--{long}={value}")]) else { return Ok(()) };
    let text = error.render().to_string();
    let said = text.strip_prefix("error: ").unwrap_or(&text);
    Err(anyhow!(one_line(said.split("\n\nFor more information").next().unwrap_or(said))))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The file's path as a comment may have it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn of(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(&Cli::command(), text).map_err(|problem| problem.to_string())
    }

    fn refused(text: &str, parts: &[&str]) {
        let problem = of(text).unwrap_err();
        for part in parts {
            assert!(problem.contains(part), "{part:?} in {problem:?}");
        }
        assert!(!problem.contains('\n'), "{problem:?}");
    }

    #[test]
    fn every_flag_of_a_host_has_a_variable_of_its_name_and_a_help_text() {
        for name in SERVED {
            let command = Cli::command();
            for arg in command.find_subcommand(name).unwrap().get_arguments() {
                let long = arg.get_long().unwrap_or_else(|| panic!("{name} {}: a flag", arg.get_id()));
                if key(arg).is_none() && long != FLAG {
                    continue;
                }
                let variable = format!("WHEELHOUSE_{}", long.replace('-', "_").to_ascii_uppercase());
                assert_eq!(arg.get_env(), Some(OsStr::new(&variable)), "{name} --{long}");
                assert!(arg.get_help().is_some_and(|help| !help.to_string().is_empty()), "{name} --{long}");
            }
        }
    }

    #[test]
    fn a_value_is_taken_as_it_is_written() {
        let text =
            "# a file\npluginDir: ./plugins\ngrace: 2.50\ncontext: '1.10'\ncacheSize: 1Gi\nworkloads: true\n";
        let values = of(text).unwrap();
        let values: Vec<(&str, &str)> = values.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("pluginDir", "./plugins"),
            ("grace", "2.50"),
            ("context", "1.10"),
            ("cacheSize", "1Gi"),
            ("workloads", "true"),
        ];
        assert_eq!(values, expected);
        assert_eq!(of("# nothing yet\n").unwrap(), []);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_was_meant() {
        refused("grace: 1\nplugin-dir: x\n", &["2: unknown key \"plugin-dir\"", "`pluginDir`"]);
        refused("\npluginDri: x\n", &["2: unknown key \"pluginDri\"", "`pluginDir`"]);
        refused("zzz: x\n", &["1: unknown key \"zzz\"", "wheelhouse config run --explain"]);
        refused("config: x\n", &["1: config is no key"]);
        refused("help: true\n", &["unknown key \"help\""]);
        refused("grants: x\ngrace: soon\n", &["2: grace: invalid value 'soon'", "a number of seconds"]);
        refused("logFormat: yaml\n", &["logFormat: invalid value 'yaml'", "text, json"]);
        refused("adminAddr: 9440\n", &["adminAddr: invalid value '9440'"]);
        refused("workloads: 1\n", &["workloads: invalid value \"1\"", "true or false"]);
        refused("context:\n", &["1: context has no value"]);
        refused("grace: 1\ngrace: 2\n", &["2:", "duplicate"]);
        refused("pluginDir: [a, b]\n", &["1:", "each key has one value"]);
        refused("- a\n", &["1:"]);
    }

    #[test]
    fn the_file_is_found_where_clap_would_find_it() {
        let named = |args: &[&str], variable: Option<&str>| {
            let args: Vec<OsString> = ["wheelhouse"].iter().chain(args).map(OsString::from).collect();
            named(&args, variable.map(OsString::from)).map(|path| path.display().to_string())
        };
        assert_eq!(named(&["run", "--config", "a"], Some("b")).as_deref(), Some("a"));
        assert_eq!(named(&["config", "dev", "--grace", "1", "--config=a"], None).as_deref(), Some("a"));
        assert_eq!(named(&["dev"], Some("b")).as_deref(), Some("b"));
        assert_eq!(named(&["dev"], Some("")), None);
        assert_eq!(named(&["run", "--", "--config", "a"], None), None);
        assert_eq!(named(&["inspect", "x.wasm", "--config", "x.json"], Some("b")), None);
    }
}
