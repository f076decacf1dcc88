//! The guest of `cargo xtask bench`: it reads Pods in every way that a plugin can, and times itself.
//!
//! A request names what to do: the scenario is its namespace, how often its name. Each time is
//! measured by the guest's own clock, around one operation; what reading that clock costs is a
//! scenario of its own (`clock`) and is in every other one's figure, once. A reconcile answers with
//! the measured nanoseconds, as the message of a terminal error: the contract has no better place.

use std::hint::black_box;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use wheelhouse_sdk::objects::List;
use wheelhouse_sdk::prelude::*;

const POD: &str = "v1/Pod";
const NODE: &str = ".spec.nodeName";
const FIRST: &str = "node-000000";

/// The store that the host has filled: see `bench/host`.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Reader {
    /// `pod-000000` and so on.
    pods: usize,
    /// `node-000000` and so on.
    nodes: usize,
    /// Whether the host is to track what its reconciles read.
    tracks: bool,
    /// Whether it wants to be asked again of each Pod at once.
    floods: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self { pods: 1, nodes: 1, tracks: false, floods: false }
    }
}

/// What a reader wants to know of a Pod; its length keeps the compiler from leaving it out.
fn four_fields(pod: &Object) -> usize {
    let fields = [
        pod.text(&["metadata", "name"]),
        pod.text(&["spec", "nodeName"]),
        pod.text(&["status", "phase"]),
        pod.text(&["metadata", "labels", "app"]),
    ];
    fields.iter().map(|field| field.map_or(0, str::len)).sum()
}

/// Every measured time, in nanoseconds.
fn timed(times: usize, mut run: impl FnMut() -> Result<usize>) -> Result<Vec<u64>> {
    let mut nanos = Vec::with_capacity(times);
    for _ in 0..times {
        let started = Instant::now();
        let read = run()?;
        nanos.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if black_box(read) == 0 {
            return Err(Error::terminal("nothing was read"));
        }
    }
    Ok(nanos)
}

fn get(key: &ObjectKey) -> Result<Object> {
    objects::get(POD, key)?.ok_or_else(|| Error::terminal(format!("{key} is not there")))
}

/// Iterates over a list and reads each object by `read`.
fn list(query: List, read: impl Fn(Object) -> Result<usize>) -> Result<usize> {
    query.into_iter().try_fold(0, |sum, object| Ok(sum + read(object?)?))
}

/// That an object is there, and nothing of it.
fn nothing(object: Object) -> Result<usize> {
    black_box(object);
    Ok(1)
}

fn typed(object: Object) -> Result<usize> {
    let pod: Pod = black_box(object.to()?);
    Ok(pod.metadata.name.map_or(0, |name| name.len()))
}

impl Reader {
    fn measure(&self, scenario: &str, times: usize) -> Result<Vec<u64>> {
        // The names are made beforehand. A step that shares no factor with the number of Pods visits
        // all of them, so that neighbours in time are not neighbours in memory.
        let pods: Vec<_> = (0..times.min(self.pods))
            .map(|i| ObjectKey::new("default", format!("pod-{:06}", i * 7919 % self.pods)))
            .collect();
        let nodes: Vec<_> =
            (0..times.min(self.nodes)).map(|i| format!("node-{:06}", i * 7919 % self.nodes)).collect();
        let (mut pods, mut nodes) = (pods.iter().cycle(), nodes.iter().cycle());
        let mut pod = || get(pods.next().ok_or_else(|| Error::terminal("there are no Pods"))?);
        let mut on_node = || {
            let node = nodes.next().ok_or_else(|| Error::terminal("there are no nodes"))?;
            Ok::<_, Error>(objects::list(POD).matching(NODE, node))
        };
        match scenario {
            "clock" => timed(times, || Ok(1)),
            "get-bytes" => timed(times, || nothing(pod()?)),
            "get-fields" => timed(times, || Ok(four_fields(&pod()?))),
            "get-typed" => timed(times, || typed(pod()?)),
            "list-bytes" => timed(times, || list(objects::list(POD), nothing)),
            "list-fields" => timed(times, || list(objects::list(POD), |object| Ok(four_fields(&object)))),
            "list-typed" => timed(times, || list(objects::list(POD), typed)),
            "index-count" => timed(times, || Ok(on_node()?.count()? as usize)),
            "index-list" => timed(times, || list(on_node()?, nothing)),
            // One value over and over: the work alone, without what memory that is not in the
            // processor's caches costs.
            "index-count-warm" => {
                timed(times, || Ok(objects::list(POD).matching(NODE, FIRST).count()? as usize))
            }
            "index-list-warm" => timed(times, || list(objects::list(POD).matching(NODE, FIRST), nothing)),
            _ => Err(Error::terminal(format!("there is no scenario {scenario:?}"))),
        }
    }
}

impl Reader {
    /// What a well-behaved reconcile does: it reads some objects and finds nothing to do.
    fn quiet(&self, seed: &str) -> Result<Outcome> {
        let seed: usize = seed.parse().map_err(Error::terminal)?;
        for i in 0..5 {
            let pod = get(&ObjectKey::new("default", format!("pod-{:06}", (seed + i * 7919) % self.pods)))?;
            black_box(four_fields(&pod));
        }
        Ok(Outcome::Done)
    }
}

/// What a neighbour does, until it is stopped; or for so many milliseconds, if it says so: `spin 100`.
fn noise(what: &str) -> Result<()> {
    let (kind, ms) = what.split_once(' ').unwrap_or((what, ""));
    let until = ms.parse().ok().map(|ms| Instant::now() + Duration::from_millis(ms));
    let goes_on = || until.is_none_or(|until| Instant::now() < until);
    match kind {
        "spin" => {
            while goes_on() {
                for i in 0..100_000 {
                    black_box(i);
                }
            }
        }
        "allocate" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
                black_box(&all);
            }
        }
        "list" => {
            while goes_on() {
                black_box(list(objects::list(POD), nothing)?);
            }
        }
        "log" => loop {
            info!(field = "something", "the same again and again");
        },
        "write" => {
            let key = ObjectKey::new("default", "noise");
            loop {
                let now = Instant::now();
                let patch = serde_json::json!({"data": {"x": format!("{now:?}")}});
                client::merge_patch("v1/ConfigMap", &key, &patch).send()?;
            }
        }
        _ => return Err(Error::terminal(format!("there is no noise {kind:?}"))),
    }
    Ok(())
}

impl Reconciler for Reader {
    fn describe(&self) -> Spec {
        let spec = Spec::new("bench-reader", env!("CARGO_PKG_VERSION"))
            .reconciles(POD)
            .indexes(Index::field(POD, NODE))
            .needs(Permission::to([Verb::Patch], "v1/ConfigMap"));
        if self.tracks { spec.tracking_dependencies() } else { spec }
    }

    fn reconcile(&self, request: &Request) -> Result<Outcome> {
        let ObjectKey { namespace: scenario, name: times } = &request.key;
        match scenario.as_str() {
            "nothing" => return Ok(Outcome::Done),
            "quiet" => return self.quiet(times),
            "default" if self.floods => return Ok(Outcome::RequeueAfter(Duration::ZERO)),
            // A Pod that there is.
            "default" => return self.quiet(times.trim_start_matches("pod-")),
            "noise" => {
                noise(times)?;
                return Ok(Outcome::Done);
            }
            _ => {}
        }
        let times = times.parse().map_err(Error::terminal)?;
        let nanos: Vec<_> = self.measure(scenario, times)?.iter().map(u64::to_string).collect();
        Err(Error::terminal(format!("nanoseconds: {}", nanos.join(" "))))
    }
}

wheelhouse_sdk::export!(Reader);
