//! Ticks: objects that are requested every so often, without an event and whether or not they exist.

use std::time::Duration;

use crate::Key;
use crate::printable::excerpt;
use crate::spec::SpecError;

/// Ticks of a plugin.
pub(crate) const MOST: usize = 16;
/// Keys of a tick.
const KEYS: usize = 64;
/// Between two of one name.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

/// Requests of some objects of the reconciled kind, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The plugin's name for it. One of the same name in the next revision goes on in its time.
    pub name: String,
    /// From one to the next, and from the start to the first.
    pub every: Duration,
    /// What is requested.
    pub keys: Vec<Key>,
}

impl Tick {
    /// Checks it for a plugin that reconciles what is in these namespaces; in all if there are none.
    pub(crate) fn check(&self, namespaces: &[String]) -> Result<(), SpecError> {
        if self.every < SHORTEST {
            return Err(SpecError::TickPeriod { tick: self.name.clone(), every: self.every });
        }
        if self.keys.len() > KEYS {
            return Err(SpecError::TooMany { what: "keys of a tick", count: self.keys.len(), max: KEYS });
        }
        for key in &self.keys {
            if !key.is_possible() {
                return Err(SpecError::TickKey { tick: self.name.clone(), key: excerpt(&key.to_string()) });
            }
            if !namespaces.is_empty() && !namespaces.contains(&key.namespace) {
                return Err(SpecError::TickNamespace {
                    tick: self.name.clone(),
                    key: key.clone(),
                    namespaces: excerpt(&namespaces.join(",")),
                });
            }
        }
        Ok(())
    }
}
