//! `plugins`, `revisions`, `rollback`, `pause` and `resume`: what an operator asks of a running host.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::Value;
use wheelhouse_cache::{Failure, Rest};

use crate::cli::{AskArgs, OrderArgs, Output, PluginsArgs, RevisionsArgs, RollbackArgs};

/// An order waits for what runs to end.
const WITHIN: Duration = Duration::from_secs(120);

/// Digits of a digest that tell components apart.
const DIGEST: usize = "sha256:".len() + 12;

/// A host's admin endpoints.
struct Host {
    rest: Rest,
    addr: SocketAddr,
}

impl Host {
    fn new(args: &AskArgs) -> anyhow::Result<Self> {
        let addr = args.admin_addr;
        let url = format!("http://{addr}").parse().context("--admin-addr")?;
        Ok(Self { rest: Rest::of(kube::Config::new(url)).context("no client for the host")?, addr })
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        let content = (method != Method::GET).then(|| ("application/json", Vec::new()));
        match self.rest.send(method, path, content, WITHIN).await {
            Ok(answer) => serde_json::from_slice(&answer)
                .with_context(|| format!("what answers on {} is no Wheelhouse host", self.addr)),
            Err(Failure::Status(status)) => bail!("{}", status.message),
            Err(failure) => {
                let why = if let Failure::Unreachable(why) = failure { why } else { failure.to_string() };
                bail!(
                    "no host answers on {}: {why}; is one running, and is this its --admin-addr?",
                    self.addr
                )
            }
        }
    }
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    wheelhouse_cache::rest::encode(name)
}

/// Which plugins there are.
pub(crate) async fn plugins(args: PluginsArgs) -> anyhow::Result<()> {
    let plugins = Host::new(&args.ask)?.ask(Method::GET, "/plugins").await?;
    let now = SystemTime::now();
    match args.output {
        Output::Json => crate::print(&format!("{plugins:#}\n")),
        Output::Text => {
            let rows = plugins.as_array().into_iter().flatten().map(|report| plugin_row(report, now));
            let head = ["NAME", "VERSION", "REVISION", "DIGEST", "PHASE", "RECONCILES", "AGE", "FROM"];
            crate::print(&table(&head, rows))?;
            for report in plugins.as_array().into_iter().flatten() {
                if let Some(error) = report["error"].as_str() {
                    eprintln!("{}: {error}", text(&report["file"]));
                }
            }
            Ok(())
        }
    }
}

fn plugin_row(report: &Value, now: SystemTime) -> Vec<String> {
    let plugin = &report["plugin"];
    vec![
        text(&plugin["name"]),
        text(&plugin["version"]),
        plugin["revision"].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string()),
        digest(&plugin["digest"]),
        text(&report["phase"]),
        text(&plugin["reconciles"]),
        age(&plugin["since"], now),
        text(&report["file"]),
    ]
}

/// Which revisions of a plugin there are.
pub(crate) async fn revisions(args: RevisionsArgs) -> anyhow::Result<()> {
    let path = format!("/plugins/{}/revisions", segment(&args.name));
    let revisions = Host::new(&args.ask)?.ask(Method::GET, &path).await?;
    let now = SystemTime::now();
    match args.output {
        Output::Json => crate::print(&format!("{revisions:#}\n")),
        Output::Text => {
            let row = |revision: &Value| {
                vec![
                    revision["revision"].to_string(),
                    text(&revision["version"]),
                    digest(&revision["digest"]),
                    text(&revision["state"]),
                    age(&revision["since"], now),
                    revision["reason"].as_str().unwrap_or_default().to_owned(),
                ]
            };
            let rows = revisions.as_array().into_iter().flatten().map(row);
            crate::print(&table(&["REVISION", "VERSION", "DIGEST", "STATE", "AGE", "REASON"], rows))
        }
    }
}

/// Has a plugin run what it ran before.
pub(crate) async fn rollback(args: RollbackArgs) -> anyhow::Result<()> {
    let revision = args.revision.map(|number| format!("?revision={number}")).unwrap_or_default();
    order(&args.order, &format!("rollback{revision}")).await
}

/// Has a plugin begin nothing more.
pub(crate) async fn pause(args: OrderArgs) -> anyhow::Result<()> {
    order(&args, "pause").await
}

/// Has a plugin go on.
pub(crate) async fn resume(args: OrderArgs) -> anyhow::Result<()> {
    order(&args, "resume").await
}

async fn order(args: &OrderArgs, order: &str) -> anyhow::Result<()> {
    let path = format!("/plugins/{}/{order}", segment(&args.name));
    let answer = Host::new(&args.ask)?.ask(Method::POST, &path).await?;
    crate::print(&format!("{}: {}\n", args.name, text(answer.get("done").unwrap_or(&Value::Null))))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn digest(value: &Value) -> String {
    text(value).chars().take(DIGEST).collect()
}

/// As kubectl writes it, in the largest unit of which there is one.
fn age(since: &Value, now: SystemTime) -> String {
    let Some(since) = since.as_u64() else { return "-".to_owned() };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seconds = now.saturating_sub(since);
    let (value, unit) = match seconds {
        0..=119 => (seconds, "s"),
        120..=7_199 => (seconds / 60, "m"),
        7_200..=172_799 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{value}{unit}")
}

/// Columns as wide as what is in them, as kubectl prints them.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plugins_are_listed_as_kubectl_lists_things() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let digest = "sha256:0123456789abcdef0123456789abcdef";
        let runs = json!({"file": "/p/a.wasm", "phase": "running", "plugin": {
            "name": "a", "version": "1.0", "revision": 12, "digest": digest, "reconciles": "v1/Pod", "since": 999_000
        }});
        let fails = json!({"file": "/p/b.wasm", "phase": "failed", "error": "no"});
        let rows = [runs, fails].map(|report| plugin_row(&report, now));
        assert_eq!(
            table(
                &["NAME", "VERSION", "REVISION", "DIGEST", "PHASE", "RECONCILES", "AGE", "FROM"],
                rows.into_iter()
            ),
            "NAME   VERSION   REVISION   DIGEST                PHASE     RECONCILES   AGE   FROM\n\
             a      1.0       12         sha256:0123456789ab   running   v1/Pod       16m   /p/a.wasm\n\
             -      -         -          -                     failed    -            -     /p/b.wasm\n"
        );
    }

    #[test]
    fn ages_are_in_the_largest_unit_of_which_there_are_two() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(|ago| age(&json!(1_000_000 - ago), now));
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
