//! Events do not stay: each goes an hour after it was written last, as kube-apiserver's `--event-ttl` has it by default.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock;
use crate::cluster::Cluster;
use crate::collector::delete_place;
use crate::delete::Propagation;
use crate::history::{Change, Event};
use crate::object;
use crate::store::Place;

const EVENTS: &str = "events";
const LIFETIME_SECONDS: i64 = 3600;
/// How often is looked for what has to go while nothing happens.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// What was written of Events, and when, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Expiry(VecDeque<Written>);

#[derive(Debug)]
struct Written {
    second: i64,
    place: Place,
    uid: String,
    version: u64,
}

impl Expiry {
    pub(crate) fn note(&mut self, event: &Event) {
        if &*event.storage == EVENTS && event.change != Change::Deleted {
            self.0.push_back(Written {
                second: clock::timestamp().as_second(),
                place: (event.storage.clone(), event.key.clone()),
                uid: object::uid(&event.object.json).to_owned(),
                version: event.object.version,
            });
        }
    }

    /// Deletes what is old enough, and has not been written since.
    pub(crate) fn sweep(&mut self, cluster: &Cluster) {
        let latest = clock::timestamp().as_second().saturating_sub(LIFETIME_SECONDS);
        while let Some(old) = self.0.pop_front_if(|written| written.second <= latest) {
            delete_place(cluster, &old.place, &old.uid, Some(old.version), Propagation::Background);
        }
    }
}
