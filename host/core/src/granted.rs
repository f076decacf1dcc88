//! An operator's side of a plugin's gates: what is granted now, and how often the answer was no.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::Kind;
use crate::grant::Grant;
use crate::permission::Verb;

/// Shared by the gates of all of a plugin's revisions: what is set here counts from each one's next
/// request on. It begins with nothing granted.
#[derive(Debug, Default)]
pub struct Granted {
    /// One more with each change, so that gates see it without looking at the grant.
    version: AtomicU64,
    grant: RwLock<Arc<Grant>>,
    denials: Mutex<BTreeMap<(Verb, Option<Kind>), u64>>,
}

impl Granted {
    /// With this granted.
    pub fn new(grant: Grant) -> Self {
        Self { grant: RwLock::new(Arc::new(grant)), ..Self::default() }
    }

    /// From now on, just this is granted. Whether that is a change.
    pub fn set(&self, grant: Grant) -> bool {
        let mut now = self.grant.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **now != grant;
        if changed {
            *now = Arc::new(grant);
            self.version.fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// What is granted now.
    pub fn grant(&self) -> Arc<Grant> {
        Arc::clone(&self.grant.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Takes note of a denial. Of a kind that neither the plugin's declaration nor the operator names, the
    /// name is not kept: there could be any number of them.
    pub(crate) fn note_denial(&self, verb: Verb, kind: &Kind, declared: bool) {
        let named = declared || self.grant().rules().iter().any(|rule| rule.names_kind(kind));
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        *denials.entry((verb, named.then(|| kind.clone()))).or_default() += 1;
    }

    /// How often which verb on which kind was denied; no kind stands for all that nobody has named.
    pub fn denials(&self) -> Vec<(Verb, Option<Kind>, u64)> {
        let denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        denials.iter().map(|((verb, kind), count)| (*verb, kind.clone(), *count)).collect()
    }
}
