//! Who holds a lease, judged by one candidate: a state machine without I/O, whose time is an argument.
//!
//! It behaves as client-go's `tools/leaderelection`: a lease that another one holds is free once its record
//! has not changed for the duration that is in it, counted by the candidate's own clock from when it saw the
//! last change. What it promises, as long as all processes' clocks run at about the same rate (no matter what
//! they show; that of a suspended machine runs on) and nobody deletes the Lease: no two candidates lead at once.
//! For whoever leads does so for the renew deadline, counted from when it *sent* its last write that was
//! answered; others wait for the whole duration, which is longer, from a moment after that write. Writes are
//! based on the version that was judged, so an old one that arrives late is refused.
//!
//! Where it differs from client-go: there the deadline counts from the end of a renewal and its pause; and
//! a Lease that was deleted is not taken before the record that was seen last would have run out.

use std::time::Duration;

use wheelhouse_core::Moment;

use super::record::{Lease, Record};

/// How long things take. client-go's names and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timings {
    /// How long others wait after the last renewal that they saw.
    pub(crate) lease_duration: Duration,
    /// How long the holder goes on without a renewal that succeeds.
    pub(crate) renew_deadline: Duration,
    /// Between two renewals, and at least so long between two tries to get the lease.
    pub(crate) retry_period: Duration,
}

/// Tries are up to this factor of the retry period later, so that candidates do not try in step.
pub(crate) const JITTER: f64 = 1.2;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing before then.
    Wait(Moment),
    /// Ask for the Lease, and hand the answer to [`Elector::read`].
    Read,
    /// Write this, and hand the answer to [`Elector::wrote`].
    Write(Write),
}

/// A write of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) record: Record,
    /// The version that it replaces; none if it creates the Lease.
    pub(crate) replaces: Option<String>,
}

/// Why a write did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotWritten {
    /// The Lease is not what it was, and nothing was written.
    Conflict,
    /// Whether it was written is not known; or it cannot be, whatever the Lease is.
    Unknown,
}

/// What is to be done when it is time.
enum Then {
    Read,
    /// Without asking first: what was written last is known.
    Renew,
    Write(Write),
}

/// What was seen of the Lease, and when it was seen to have changed.
struct Seen {
    lease: Lease,
    at: Moment,
}

/// See the module.
pub(crate) struct Elector {
    identity: String,
    timings: Timings,
    random: Box<dyn FnMut() -> f64 + Send + Sync>,
    seen: Option<Seen>,
    /// When the last write was sent that made this one the holder, or kept it that.
    held: Option<Moment>,
    due: Moment,
    then: Then,
    /// Since when the lease was seen to be free.
    free: Option<Moment>,
    /// A write failed, and the Lease was not seen since.
    in_doubt: bool,
    /// It was looked at at once after a conflict, and no write has succeeded since.
    hurried: bool,
}

impl Elector {
    /// Of a candidate that has seen nothing. No other one may have the identity. `random` gives numbers in
    /// `[0, 1)`.
    pub(crate) fn new(
        identity: String,
        timings: Timings,
        now: Moment,
        random: impl FnMut() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            identity,
            timings,
            random: Box::new(random),
            seen: None,
            held: None,
            due: now,
            then: Then::Read,
            free: None,
            in_doubt: false,
            hurried: false,
        }
    }

    /// Until when this one leads, if it does.
    pub(crate) fn leads_until(&self, now: Moment) -> Option<Moment> {
        let until = self.held? + self.timings.renew_deadline;
        (now < until).then_some(until)
    }

    /// Who holds the lease, by what was seen last; "" if nobody does.
    pub(crate) fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| &seen.lease.record.holder)
    }

    /// What to do now. `time` is what the wall clock shows, for people who read the Lease.
    pub(crate) fn next(&mut self, now: Moment, time: &str) -> Next {
        let until = self.leads_until(now);
        if self.held.is_some() && until.is_none() {
            self.held = None;
            (self.due, self.then) = (now, Then::Read);
        }
        if now < self.due {
            return Next::Wait(until.map_or(self.due, |until| until.min(self.due)));
        }
        match (&self.then, &self.seen) {
            (Then::Write(write), _) => Next::Write(write.clone()),
            (Then::Renew, Some(Seen { lease, .. })) => {
                let record = self.renewed(lease.record.clone(), time);
                Next::Write(Write { record, replaces: Some(lease.version.clone()) })
            }
            _ => Next::Read,
        }
    }

    /// Somebody says that the Lease is nobody's by now: it is looked at at once. No harm is done if it is not
    /// true.
    pub(crate) fn freed(&mut self, now: Moment) {
        if matches!(self.then, Then::Read) {
            self.due = self.due.min(now);
        }
    }

    /// An answer to [`Next::Read`]: the Lease, none if it is not there, or an error that says neither.
    /// A lease that is free is taken once it was so for the `patience`.
    pub(crate) fn read(
        &mut self,
        now: Moment,
        answer: Result<Option<Lease>, ()>,
        patience: Duration,
        time: &str,
    ) {
        self.in_doubt &= answer.is_err();
        let lease = match answer {
            Ok(Some(lease)) => lease,
            Ok(None) => return self.read_none(now, patience, time),
            Err(()) => return self.again(now),
        };
        self.see(lease, now);
        let Some(Seen { lease, at }) = &self.seen else { return };
        let (record, version) = (lease.record.clone(), lease.version.clone());
        if record.holder == self.identity {
            // It leads and renews; or a write that got it the lease had no answer.
            return self.write(now, self.renewed(record, time), Some(version));
        }
        self.held = None;
        let expires = expiry(&record, *at, &self.timings);
        if !record.holder.is_empty() && now < expires {
            self.free = None;
            self.again(now);
            // Not later than there is something to find out.
            self.due = self.due.min(expires.max(now));
            return;
        }
        if self.is_patient(now, patience) {
            let taken = Record { transitions: record.transitions + 1, ..self.fresh(time) };
            self.write(now, taken, Some(version));
        }
    }

    fn read_none(&mut self, now: Moment, patience: Duration, time: &str) {
        let held = |seen: &Seen| {
            let record = &seen.lease.record;
            !record.holder.is_empty()
                && record.holder != self.identity
                && now < expiry(record, seen.at, &self.timings)
        };
        if self.seen.as_ref().is_some_and(held) {
            // Its holder does not know yet that it was deleted.
            self.again(now);
        } else if self.leads_until(now).is_some() || self.is_patient(now, patience) {
            let fresh = self.fresh(time);
            self.write(now, fresh, None);
        }
    }

    /// Whether the lease was free for long enough; otherwise it is looked at again when it will have been.
    fn is_patient(&mut self, now: Moment, patience: Duration) -> bool {
        let since = *self.free.get_or_insert(now);
        let waited = now.saturating_since(since);
        if waited < patience {
            (self.due, self.then) = (now + (patience - waited), Then::Read);
        }
        waited >= patience
    }

    fn fresh(&self, time: &str) -> Record {
        Record {
            holder: self.identity.clone(),
            duration: Some(self.timings.lease_duration),
            acquired: time.to_owned(),
            renewed: time.to_owned(),
            transitions: 0,
        }
    }

    fn renewed(&self, held: Record, time: &str) -> Record {
        Record { acquired: held.acquired, transitions: held.transitions, ..self.fresh(time) }
    }

    fn write(&mut self, now: Moment, record: Record, replaces: Option<String>) {
        (self.due, self.then) = (now, Then::Write(Write { record, replaces }));
    }

    /// An answer to [`Next::Write`], which was sent then: the version that was made.
    pub(crate) fn wrote(
        &mut self,
        now: Moment,
        sent: Moment,
        write: &Write,
        answer: Result<String, NotWritten>,
    ) {
        let leads = self.leads_until(now).is_some();
        self.in_doubt = answer.is_err();
        match answer {
            Ok(version) => {
                (self.free, self.hurried) = (None, false);
                self.see(Lease { record: write.record.clone(), version }, now);
                self.held = Some(sent);
                (self.due, self.then) = ((sent + self.timings.retry_period).max(now), Then::Renew);
            }
            // The Lease says who it was: this one itself, with an answer that was lost, or another one.
            Err(NotWritten::Conflict) if leads && !self.hurried => {
                (self.due, self.then, self.hurried) = (now, Then::Read, true);
            }
            Err(_) => self.again(now),
        }
    }

    /// Whether the Lease may be this one's without its knowing.
    pub(crate) fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// What gives the lease back, if this one may hold it: then others need not wait.
    pub(crate) fn release(&self, time: &str) -> Option<Write> {
        let Seen { lease, .. } = self.seen.as_ref().filter(|_| self.holder() == self.identity)?;
        let record = Record {
            holder: String::new(),
            duration: Some(Duration::from_secs(1)),
            acquired: time.to_owned(),
            renewed: time.to_owned(),
            transitions: lease.record.transitions,
        };
        Some(Write { record, replaces: Some(lease.version.clone()) })
    }

    /// Takes note of a Lease. Only a change of its record is news.
    pub(crate) fn see(&mut self, lease: Lease, now: Moment) {
        self.in_doubt = false;
        let at = match &self.seen {
            Some(seen) if seen.lease.record == lease.record => seen.at,
            _ => now,
        };
        self.seen = Some(Seen { lease, at });
    }

    /// After the retry period; and after a random time more, unless this one has a lease to renew.
    fn again(&mut self, now: Moment) {
        let jitter = if self.leads_until(now).is_some() { 0.0 } else { (self.random)() * JITTER };
        (self.due, self.then) = (now + self.timings.retry_period.mul_f64(1.0 + jitter), Then::Read);
    }
}

/// When a record that does not change any more is nobody's.
fn expiry(record: &Record, seen: Moment, timings: &Timings) -> Moment {
    seen + record.duration.unwrap_or(timings.lease_duration)
}
