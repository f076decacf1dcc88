//! Several hosts beside one API server, and what their witnesses wrote down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitStatus;

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Host, Process, address, api, eventually, grant_of, plugin, wheelhouse, with};

/// An API server, and what the hosts beside it have in common.
pub(crate) struct Cluster {
    pub(crate) server: Process,
    files: tempfile::TempDir,
    at: String,
    client: kube::Client,
}

/// What a witness wrote down.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) host: String,
    pub(crate) run: String,
    pub(crate) what: String,
}

/// All that was written down in these, in the order of the API server.
pub(crate) async fn records(maps: &Api<DynamicObject>) -> Vec<Record> {
    let list = maps.list(&ListParams::default()).await.unwrap();
    let record = |map: DynamicObject| {
        let text = |field: &str| map.data["data"][field].as_str().unwrap_or_default().to_owned();
        let version = map.metadata.resource_version.as_deref().unwrap().parse().unwrap();
        Record { version, key: text("key"), host: text("host"), run: text("run"), what: text("what") }
    };
    let mut records: Vec<Record> = list.items.into_iter().map(record).collect();
    records.sort_by_key(|record| record.version);
    records
}

impl Cluster {
    /// With what the witness needs, and a grant for it.
    pub(crate) async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let kubeconfig = files.path().join("kubeconfig");
        let server = Process::start(wheelhouse().arg("devcluster").arg("--kubeconfig-out").arg(&kubeconfig));
        let at = address(server.logged("url=\"http://").await);
        let config = kube::Config::new(format!("http://{at}").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let grants = files.path().join("grants");
        std::fs::create_dir(&grants).unwrap();
        for name in ["witness", "hello"] {
            let grant = grant_of(&plugin(name));
            let limits =
                "limits: {apiRequestsPerSecond: 1000, apiRequestsBurst: 1000}\nallowSharedKind: true\n";
            std::fs::write(grants.join(name).with_extension("yaml"), grant + limits).unwrap();
        }
        let cluster = Self { server, files, at, client };
        cluster.create_namespace("records").await;
        cluster
    }

    pub(crate) async fn create_namespace(&self, name: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let namespace: DynamicObject = serde_json::from_value(namespace).unwrap();
        self.api("v1/Namespace", "").create(&Default::default(), &namespace).await.unwrap();
    }

    fn grants(&self) -> PathBuf {
        self.files.path().join("grants")
    }

    /// A host of that name with these plugins, whose witness takes so long.
    pub(crate) async fn host(&self, name: &str, plugins: &[&str], pause_ms: u64, flags: &[&str]) -> Host {
        let (folder, grants) = (with(plugins), self.grants());
        let config = json!({"host": name, "pause_ms": pause_ms});
        std::fs::write(folder.path().join("witness.json"), config.to_string()).unwrap();
        let common = ["--identity", name, "--grants", grants.to_str().unwrap()];
        let flags: Vec<&str> = common.iter().chain(flags).copied().collect();
        Host::join(&self.at, &self.files.path().join("kubeconfig"), folder, &flags).await
    }

    /// What becomes of a host that cannot start with these flags, and its log.
    pub(crate) fn try_host(&self, flags: &[&str]) -> (ExitStatus, String) {
        let folder = with(&[]);
        let kubeconfig = self.files.path().join("kubeconfig");
        let mut command = wheelhouse();
        command.args(["run", "--plugin-dir"]).arg(folder.path()).args(flags).env("KUBECONFIG", kubeconfig);
        let output = command.output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    pub(crate) fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        api(&self.client, kind, namespace)
    }

    /// Gives an object for the witness a value.
    pub(crate) async fn set(&self, name: &str, value: &str) {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}});
        let patch = PatchParams::apply("test").force();
        self.api("v1/ConfigMap", "default").patch(name, &patch, &Patch::Apply(&map)).await.unwrap();
    }

    /// The value that a witness has seen.
    pub(crate) async fn seen(&self, name: &str) -> Option<String> {
        let map = self.api("v1/ConfigMap", "default").get(name).await.unwrap();
        map.metadata.annotations?.get("examples.wheelhouse.dev/seen").cloned()
    }

    pub(crate) async fn until_seen(&self, name: &str, value: &str) {
        eventually(&format!("{name} is seen with {value}"), || async {
            (self.seen(name).await.as_deref() == Some(value)).then_some(())
        })
        .await;
    }

    /// All that was written down, in the order of the API server.
    pub(crate) async fn records(&self) -> Vec<Record> {
        records(&self.api("v1/ConfigMap", "records")).await
    }

    /// Waits for a record of that host.
    pub(crate) async fn until_recorded(&self, host: &str, key: &str, what: &str) -> Record {
        eventually(&format!("{host} records the {what} of {key}"), || async {
            let is = |r: &Record| (r.host.as_str(), r.key.as_str(), r.what.as_str()) == (host, key, what);
            self.records().await.into_iter().find(is)
        })
        .await
    }

    /// Writes down that a host is dead.
    pub(crate) async fn bury(&self, host: &str) {
        let record = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{host}.dead")},
            "data": {"host": host, "what": "dead"}});
        let record: DynamicObject = serde_json::from_value(record).unwrap();
        self.api("v1/ConfigMap", "records").create(&Default::default(), &record).await.unwrap();
    }

    /// A Lease's holder and its version; nobody's if it is not there.
    pub(crate) async fn lease(&self, name: &str) -> (String, u64) {
        let lease = self.api("coordination.k8s.io/v1/Lease", "default").get_opt(name).await.unwrap();
        let Some(lease) = lease else { return (String::new(), 0) };
        let holder = lease.data["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        (holder, lease.metadata.resource_version.unwrap().parse().unwrap())
    }

    pub(crate) async fn until_holds(&self, host: &str, lease: &str) {
        eventually(&format!("{host} holds {lease}"), || async {
            (self.lease(lease).await.0 == host).then_some(())
        })
        .await;
    }
}

impl Host {
    /// Whether `/plugins` says that it leads for a file.
    pub(crate) fn leads(&self, file: &str) -> bool {
        self.report(file).is_some_and(|report| report["leader"]["leads"] == json!(true))
    }

    /// Waits until a plugin is loaded and another host has its lease.
    pub(crate) async fn until_standing_by(&self, file: &str) -> Value {
        let held = |report: &Value| report["leader"]["holder"].as_str().is_some_and(|h| !h.is_empty());
        self.until(file, "standing by", |report| report["phase"] == "standby" && held(report)).await
    }
}

/// What is wrong with what was written down: two runs of one object by two hosts, at one time. A run that
/// never went on is none if its host was killed (it may have been at any time since: a host that gets no
/// processor for a while does nothing either), or says itself that it was made to stop, which `lost` tells.
pub(crate) fn overlaps(records: &[Record], lost: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut keys: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    let mut dead: BTreeSet<&str> = BTreeSet::new();
    for record in records {
        match record.what.as_str() {
            "dead" => drop(dead.insert(&record.host)),
            _ => keys.entry(&record.key).or_default().push(record),
        }
    }
    for (key, records) in keys {
        let mut open: Option<&Record> = None;
        for (at, record) in records.iter().enumerate() {
            match (record.what.as_str(), open) {
                ("begin", Some(other)) if other.host == record.host => {
                    // The same host begins again: it was made to stop in between, or a write failed.
                    open = Some(record);
                }
                ("begin", Some(other)) => {
                    if !dead.contains(other.host.as_str()) && !lost(&other.host) {
                        problems.push(format!("{key}: {record:?} within {other:?}"));
                    }
                    if records.iter().skip(at).any(|later| later.run == other.run) {
                        problems.push(format!("{key}: {other:?} goes on after {record:?}"));
                    }
                    open = Some(record);
                }
                ("begin", None) => open = Some(record),
                ("end", Some(begun)) if begun.run == record.run => open = None,
                _ => problems.push(format!("{key}: {record:?} without a beginning")),
            }
        }
    }
    problems
}

/// Hosts that wrote anything at all after another one had begun to, though they never had to stop: each has
/// its time, and nobody comes back.
pub(crate) fn returns(records: &[Record], lost: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut problems, mut before, mut now) = (Vec::new(), BTreeSet::new(), "");
    for record in records.iter().filter(|record| record.what != "dead") {
        if record.host != now {
            before.insert(std::mem::replace(&mut now, &record.host));
            if before.contains(now) && !lost(now) {
                problems.push(format!("{record:?} when others were at work already"));
            }
        }
    }
    problems
}

#[test]
fn what_interleaves_is_found() {
    let record = |version: u64, host: &str, run: &str, what: &str| Record {
        version,
        key: "k".to_owned(),
        host: host.to_owned(),
        run: run.to_owned(),
        what: what.to_owned(),
    };
    let never = |_: &str| false;
    let good = [record(1, "a", "1", "begin"), record(2, "a", "1", "end"), record(3, "b", "2", "begin")];
    assert!(overlaps(&good, never).is_empty());
    let within = [record(1, "a", "1", "begin"), record(2, "b", "2", "begin")];
    assert_eq!(overlaps(&within, never).len(), 1);
    assert!(overlaps(&within, |_| true).is_empty());
    let buried = [record(1, "a", "1", "begin"), record(2, "a", "", "dead"), record(3, "b", "2", "begin")];
    assert!(overlaps(&buried, never).is_empty());
    let risen = [&buried[..], &[record(4, "a", "1", "end")]].concat();
    assert!(!overlaps(&risen, |_| true).is_empty());
    assert!(returns(&buried, never).is_empty());
    assert_eq!(returns(&risen, never).len(), 1);
}
