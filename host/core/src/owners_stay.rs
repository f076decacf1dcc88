//! What the gate cannot judge without the object: whether a write leaves its owners as they are.

use std::sync::Arc;

use crate::Object;
use crate::gate::Denied;
use crate::granted::Granted;
use crate::ownership::OwnerReference;

/// A write that is permitted as long as it leaves an object's owners as they are.
#[derive(Clone, Debug)]
pub struct OwnersStay {
    pub(crate) wanted: Vec<OwnerReference>,
    /// Of an update; an apply leaves alone what it does not name.
    pub(crate) all: bool,
    /// What it takes for an object that is there.
    pub(crate) existing: Option<Denied>,
    /// What it takes for any.
    pub(crate) any: Option<Denied>,
    pub(crate) granted: Arc<Granted>,
}

impl OwnersStay {
    /// Whether the write may be carried out on this object, which is there, or on none.
    ///
    /// # Errors
    /// What it takes.
    pub fn judge(&self, current: Option<&Object>) -> Result<(), Denied> {
        let denied = match current {
            Some(object) if self.stay(object) => None,
            Some(_) => self.existing.as_ref().or(self.any.as_ref()),
            None => self.any.as_ref(),
        };
        let Some(denied) = denied else { return Ok(()) };
        self.granted.note_denial(denied.verb, &denied.kind, true);
        Err(denied.clone())
    }

    /// Whether the object's owners are already what the write wants.
    pub fn stay(&self, object: &Object) -> bool {
        let mut now = OwnerReference::of(object);
        now.sort_unstable();
        if !self.all {
            // Both may be tens of thousands.
            return self.wanted.iter().all(|wanted| now.binary_search(wanted).is_ok());
        }
        let mut wanted = self.wanted.clone();
        wanted.sort_unstable();
        now == wanted
    }
}
