//! The ports of the nodes under which Services are reached from without: 30000 to 32767, each of one Service in the
//! cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Needs;
use crate::defaults::maps;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::Store;

const FIRST: u64 = 30_000;
const LAST: u64 = 32_767;
const HEALTH: &[&str] = &["spec", "healthCheckNodePort"];

/// The node ports of a Service's ports.
pub(super) fn of(json: &Json) -> impl Iterator<Item = u64> {
    object::items(json, &["spec", "ports"]).iter().filter_map(number)
}

fn number(port: &Value) -> Option<u64> {
    port.get("nodePort").and_then(Value::as_u64)
}

/// Gives a Service the node ports that it needs, and looks whether those that it asks for are free.
pub(super) fn allocate(
    store: &Store,
    kind: &Kind,
    json: &mut Json,
    old: Option<&Json>,
) -> Result<(), ApiError> {
    let needs = Needs::of(json);
    if !needs.node_ports {
        return Ok(());
    }
    let gets = gets_ports(json);
    // One that was of no use was not given.
    let old_ports = old.filter(|old| Needs::of(old).node_ports);
    let had: BTreeSet<u64> = old_ports.into_iter().flat_map(|old| of(old).chain(health(old))).collect();
    let is_new = |port: &Value| number(port).map_or(gets, |number| !had.contains(&number));
    let health =
        needs.health_port.then(|| health(json)).filter(|port| port.is_none_or(|port| !had.contains(&port)));
    if health.is_none() && !object::items(json, &["spec", "ports"]).iter().any(is_new) {
        return Ok(());
    }
    let mut free = Free::beside(store, kind, json, &had);
    free.give(kind, json, &had, old.is_none())?;
    if let Some(asked) = health {
        let number = free.health_port(asked)?;
        object::set(json, HEALTH, number.into());
    }
    Ok(())
}

/// Whether ports get node ports that ask for none.
fn gets_ports(json: &Json) -> bool {
    let declines = object::at(json, &["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    !(Needs::of(json).is_load_balancer && declines)
}

fn health(json: &Json) -> Option<u64> {
    object::at(json, HEALTH).and_then(Value::as_u64)
}

/// The ports that are not taken.
struct Free {
    taken: BTreeSet<u64>,
    /// Where a search begins, so that a port that was given back is not the next one to be given.
    start: u64,
}

impl Free {
    /// Those that neither another Service has nor this one had.
    fn beside(store: &Store, kind: &Kind, json: &Json, had: &BTreeSet<u64>) -> Self {
        let mut taken = had.clone();
        for other in store.list_all(&kind.storage).iter().map(|service| &service.json) {
            if object::uid(other) != object::uid(json) {
                taken.extend(of(other).chain(health(other)));
            }
        }
        let uid = uuid::Uuid::parse_str(object::uid(json)).unwrap_or_default();
        Self { taken, start: uid.as_u64_pair().1 % (LAST - FIRST + 1) }
    }

    /// Has each port of a Service have a node port. Ports of a new Service that differ in their protocol alone share one.
    fn give(
        &mut self,
        kind: &Kind,
        json: &mut Json,
        had: &BTreeSet<u64>,
        is_new: bool,
    ) -> Result<(), ApiError> {
        let gets = gets_ports(json);
        let asked = object::items(json, &["spec", "ports"]).iter().filter(|_| is_new);
        let asked = asked.filter_map(|port| Some((port.get("port")?.as_u64()?, number(port)?)));
        let mut shared: BTreeMap<u64, u64> = asked.collect();
        let mut mine = BTreeSet::new();
        let name = object::name(json).to_owned();
        let Some(Value::Object(spec)) = json.get_mut("spec") else { return Ok(()) };
        for (index, port) in maps(spec, "ports").enumerate() {
            let inner = port.get("port").and_then(Value::as_u64).unwrap_or_default();
            let given = port.get("nodePort").and_then(Value::as_u64);
            let number = match given.or_else(|| shared.get(&inner).copied().filter(|_| gets)) {
                Some(number) if had.contains(&number) || mine.contains(&number) => number,
                Some(number) => {
                    let path = format!("spec.ports[{index}].nodePort");
                    let refused = |why: String| Cause::invalid(path, &number.into(), &why);
                    self.take(number).map_err(|why| ApiError::invalid(kind, &name, &[refused(why)]))?;
                    number
                }
                None if gets => self.take_any("a nodePort")?,
                None => continue,
            };
            mine.insert(number);
            if is_new {
                shared.insert(inner, number);
            }
            port.insert("nodePort".to_owned(), number.into());
        }
        Ok(())
    }

    fn health_port(&mut self, asked: Option<u64>) -> Result<u64, ApiError> {
        let Some(number) = asked else { return self.take_any("a HealthCheck NodePort 0") };
        let refused = |why| format!("failed to allocate requested HealthCheck NodePort {number}: {why}");
        self.take(number).map(|()| number).map_err(|why| ApiError::internal(refused(why)))
    }

    fn take(&mut self, number: u64) -> Result<(), String> {
        if !(FIRST..=LAST).contains(&number) {
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}"
            ));
        }
        match self.taken.insert(number) {
            true => Ok(()),
            false => Err("provided port is already allocated".to_owned()),
        }
    }

    fn take_any(&mut self, what: &str) -> Result<u64, ApiError> {
        let from = FIRST.saturating_add(self.start);
        let found = (from..=LAST).chain(FIRST..from).find(|number| !self.taken.contains(number));
        let full = || ApiError::internal(format!("failed to allocate {what}: range is full"));
        let number = found.ok_or_else(full)?;
        self.taken.insert(number);
        Ok(number)
    }
}
