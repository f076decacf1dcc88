//! The host's admin endpoints, read over a plain socket: an HTTP client would be the heaviest part
//! of xtask.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// An endpoint answers from memory; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admin(pub(crate) SocketAddr);

/// What the host has to tell of a file in its plugin folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// `loading`, `running`, `waiting` or `failed`.
    pub(crate) phase: String,
    /// Why it waits or fails.
    pub(crate) error: Option<String>,
    /// 0 if it does not run.
    pub(crate) revision: u64,
    pub(crate) digest: String,
}

impl Admin {
    pub(crate) fn url(self, path: &str) -> String {
        format!("http://{}{path}", self.0)
    }

    /// The body of a 200; anything else is an error.
    pub(crate) fn get(self, path: &str) -> Result<String> {
        let answer = self.ask(path).with_context(|| format!("GET {}", self.url(path)))?;
        body(&answer).map(str::to_owned).with_context(|| format!("GET {}", self.url(path)))
    }

    fn ask(self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.0, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        // Version 1.0: the body is not in chunks, and the connection ends with it.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.0)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Every file in the plugin folder, by its name without `.wasm`.
    pub(crate) fn plugins(self) -> Result<BTreeMap<String, Plugin>> {
        let body = self.get("/plugins")?;
        plugins(&serde_json::from_str(&body).context("/plugins is no JSON")?)
    }

    /// The sum of a metric over all its series.
    pub(crate) fn sum(self, metric: &str) -> Result<f64> {
        sum(&self.get("/metrics")?, metric)
    }
}

fn body(answer: &str) -> Result<&str> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("{status}: {}", body.trim());
    }
    Ok(body)
}

fn plugins(json: &Value) -> Result<BTreeMap<String, Plugin>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let plugin = |report: &Value| {
        let file = report.get("file")?.as_str()?;
        let name = file.rsplit('/').next()?.trim_end_matches(".wasm").to_owned();
        let running = report.get("plugin");
        let plugin = Plugin {
            phase: text(report.get("phase")?)?,
            error: report.get("error").and_then(text),
            revision: running.and_then(|running| running.get("revision")?.as_u64()).unwrap_or_default(),
            digest: running.and_then(|running| text(running.get("digest")?)).unwrap_or_default(),
        };
        Some((name, plugin))
    };
    let reports = json.as_array().context("/plugins is no list")?;
    let known = reports.iter().map(|report| plugin(report).with_context(|| format!("in /plugins: {report}")));
    known.collect()
}

fn sum(metrics: &str, metric: &str) -> Result<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    // An absent metric must not pass for one that is zero.
    values.reduce(|sum, value| sum + value).with_context(|| format!("/metrics has no {metric}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_200_has_a_body() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\nok\n").unwrap(), "ok\n");
        let error = body("HTTP/1.0 503 Service Unavailable\r\n\r\nloading\n").unwrap_err().to_string();
        assert_eq!(error, "HTTP/1.0 503 Service Unavailable: loading");
        assert!(body("").is_err());
    }

    #[test]
    fn a_metric_is_summed_over_its_series_and_no_others() {
        let metrics = "# TYPE errors counter\nerrors_total{controller=\"a\"} 1\n\
                       errors_total{controller=\"b c\"} 2\nerrors_total_bytes{x=\"y\"} 7\n# EOF\n";
        assert_eq!(sum(metrics, "errors_total").unwrap(), 3.0);
        assert!(sum(metrics, "error").is_err());
    }

    #[test]
    fn plugins_go_by_their_files() {
        let known = plugins(&json!([
            { "file": "/p/a.wasm", "phase": "running", "plugin": { "revision": 2, "digest": "sha256:1" } },
            { "file": "/p/b.wasm", "phase": "failed", "error": "broken" },
        ]))
        .unwrap();
        let running = Plugin { phase: "running".into(), error: None, revision: 2, digest: "sha256:1".into() };
        assert_eq!(known["a"], running);
        assert_eq!(known["b"].error.as_deref(), Some("broken"));
        assert!(plugins(&json!([{ "name": "a" }])).is_err());
    }
}
