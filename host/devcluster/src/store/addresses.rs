//! Which addresses Services have within the cluster: each belongs to one Service, as long as that is there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::Store;
use crate::object::{self, Json};

const SERVICES: &str = "services";

/// The uids of the Services that have them.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, String>);

impl Addresses {
    /// An object is there now. What is no Service has no address.
    pub(super) fn add(&mut self, storage: &str, json: &Json) {
        for address in of(storage, json) {
            self.0.insert(address, object::uid(json).to_owned());
        }
    }

    /// An object is there no more as it was.
    pub(super) fn remove(&mut self, storage: &str, json: &Json) {
        for address in of(storage, json) {
            if self.is_of(address, object::uid(json)) {
                self.0.remove(&address);
            }
        }
    }

    fn is_of(&self, address: IpAddr, uid: &str) -> bool {
        self.0.get(&address).is_some_and(|owner| owner == uid)
    }
}

fn of<'a>(storage: &str, json: &'a Json) -> impl Iterator<Item = IpAddr> + use<'a> {
    let addresses = if storage == SERVICES { object::items(json, &["spec", "clusterIPs"]) } else { &[] };
    addresses.iter().filter_map(Value::as_str).filter_map(|address| address.parse().ok())
}

impl Store {
    /// Whether an address is that of another Service than the one with a uid.
    pub(crate) fn has_address(&self, address: IpAddr, uid: &str) -> bool {
        let inner = self.read();
        inner.addresses.0.contains_key(&address) && !inner.addresses.is_of(address, uid)
    }

    /// The first of some addresses that no Service has.
    pub(crate) fn free_address(&self, mut among: impl Iterator<Item = Ipv4Addr>) -> Option<Ipv4Addr> {
        let inner = self.read();
        among.find(|address| !inner.addresses.0.contains_key(&IpAddr::V4(*address)))
    }
}
