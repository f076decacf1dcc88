//! The addresses under which Services are reached from within: of the network 10.96.0.0/16, each of one Service in the
//! cluster.
//!
//! As in `pkg/registry/core/service/ipallocator`, the first 256 are for those who ask for one, and are given to others
//! last.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;

use super::Needs;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::Store;

const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
/// The places in the network that are given: the first and the last one of it are not.
const FIRST: u32 = 1;
const LAST: u32 = 0xfffe;
/// The first place that whoever does not ask for one gets.
const FIRST_GIVEN: u32 = 0x101;
const ADDRESS: &[&str] = &["spec", "clusterIP"];

/// Gives a Service the address that it needs, and looks whether the one that it asks for is free. A dry run takes none,
/// and does not mind whose it is.
pub(super) fn allocate(
    store: &Store,
    kind: &Kind,
    json: &mut Json,
    old: Option<&Json>,
    is_dry: bool,
) -> Result<(), ApiError> {
    let asked = object::text(json, ADDRESS);
    if !Needs::of(json).address || asked == "None" {
        return Ok(());
    }
    if asked.is_empty() {
        let full = || ApiError::internal("failed to allocate a serviceIP: range is full");
        let given = store.free_address(places(object::uid(json))).ok_or_else(full)?.to_string();
        object::set(json, &["spec", "clusterIPs"], json!([given]));
        object::set(json, ADDRESS, given.into());
        return Ok(());
    }
    // It stays what it is, which is looked at later on.
    if old.is_some_and(|old| Needs::of(old).address && !object::text(old, ADDRESS).is_empty()) {
        return Ok(());
    }
    let Some((field, why)) = problem(store, asked, object::uid(json), is_dry) else { return Ok(()) };
    let cause = Cause::invalid(field, &json!([asked]), &why);
    Err(ApiError::invalid(kind, object::name(json), &[cause]))
}

/// Why a Service cannot have an address, and which field that is about.
fn problem(store: &Store, asked: &str, uid: &str, is_dry: bool) -> Option<(&'static str, String)> {
    // What is no address has been refused.
    let why = match asked.parse::<IpAddr>().ok()? {
        IpAddr::V6(_) => {
            return Some(("spec.clusterIPs[0]", "IPv6 is not configured on this cluster".to_owned()));
        }
        IpAddr::V4(address) if is_dry => match (FIRST..=LAST).contains(&place(address)) {
            true => return None,
            false => format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {NETWORK}/16"
            ),
        },
        IpAddr::V4(address) if !(FIRST..=LAST).contains(&place(address)) => {
            "the provided network does not match the current range".to_owned()
        }
        address if store.has_address(address, uid) => "provided IP is already allocated".to_owned(),
        _ => return None,
    };
    Some(("spec.clusterIPs", format!("failed to allocate IP {asked}: {why}")))
}

/// Which address of the network it is; those before it are after it in this count.
fn place(address: Ipv4Addr) -> u32 {
    u32::from(address).wrapping_sub(u32::from(NETWORK))
}

/// All addresses in the order in which they are given to a Service: from anywhere on, so that one that was given back is
/// not the next one to be given.
fn places(uid: &str) -> impl Iterator<Item = Ipv4Addr> {
    let uid = uuid::Uuid::parse_str(uid).unwrap_or_default();
    let spread = u64::from(LAST - FIRST_GIVEN + 1);
    let start = u32::try_from(uid.as_u64_pair().1 % spread).unwrap_or_default().saturating_add(FIRST_GIVEN);
    let places = (start..=LAST).chain(FIRST_GIVEN..start).chain(FIRST..FIRST_GIVEN);
    places.map(|place| Ipv4Addr::from(u32::from(NETWORK).saturating_add(place)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cluster::Cluster;
    use crate::store::Key;
    use crate::write::{self, Write};

    #[test]
    fn many_services_share_no_address_and_all_are_given_in_the_end() {
        let cluster = Cluster::open(None);
        let create = |kind: &str, name: &str, json: serde_json::Value| {
            let kind = cluster.registry.served().find("", "v1", kind).unwrap();
            let namespace = if kind.namespaced { "default" } else { "" };
            let write = Write::by(kind, Key::new(namespace, name), "test", "");
            write::create(&cluster, &write, json.as_object().unwrap().clone()).unwrap().object
        };
        create("namespaces", "default", json!({ "metadata": { "name": "default" } }));
        let mut given = BTreeSet::new();
        for number in 0..1500 {
            let name = format!("s{number}");
            let body = json!({ "metadata": { "name": name }, "spec": { "ports": [{ "port": 80 }] } });
            let service = create("services", &name, body);
            let address: Ipv4Addr = object::text(&service.json, ADDRESS).parse().unwrap();
            assert!((FIRST_GIVEN..=LAST).contains(&place(address)), "{address}");
            assert!(given.insert(address), "{address} is another one's");
        }
        let places: BTreeSet<Ipv4Addr> = places("2b0f5b7c-6c0a-4d7e-9d0b-0d8a1f6f2f11").collect();
        assert_eq!(places.len(), 65_534);
        assert_eq!(cluster.store.free_address(given.into_iter()), None);
    }
}
