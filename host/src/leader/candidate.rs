//! One lease, and the task that stands for it: what the [`Elector`] says is done over REST, and what comes
//! of it is told to those who work under the lease.
//!
//! What it promises: the fence of a lease is open only while the lease is held, and closes by itself; and a
//! lease that was lost is not stood for again before all work under it has stopped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wheelhouse_cache::{Failure, Rest};
use wheelhouse_controller::Controller;
use wheelhouse_core::{Fence, Moment};

use super::elector::{Elector, Next, NotWritten, Write};
use super::leases::Leases;
use super::record::{Lease, micro_time};
use super::settings::Settings;
use super::watching::Watching;

/// How long giving a lease back may take: others can wait as well.
const GIVE_BACK: Duration = Duration::from_secs(5);
const GIVE_BACK_PAUSE: Duration = Duration::from_millis(100);
/// How long work may take to stop before the log says so.
const SLOW: Duration = Duration::from_secs(10);
/// A timer stands still while the machine is suspended: whoever leads looks at the time so often.
const LOOK: Duration = Duration::from_secs(1);

/// What others see of a candidate.
#[derive(Clone, Debug, Default)]
struct State {
    leads: bool,
    holder: String,
    /// How many work under the lease.
    at_work: usize,
    /// It is to be given back when nobody does.
    ending: bool,
}

/// Where a lease is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Standing {
    /// `NAMESPACE/NAME`.
    pub(crate) lease: String,
    /// Whether this host holds it.
    pub(crate) leads: bool,
    /// Who holds it, by what was seen last; "" if nobody does.
    pub(crate) holder: String,
}

/// See the module.
pub(crate) struct Candidate {
    pub(crate) name: String,
    namespace: String,
    fence: Fence,
    state: watch::Sender<State>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// For the other hosts, on the lease.
    note: Mutex<Option<Value>>,
}

/// As long as it is there, the lease is not stood for again, nor given back.
struct AtWork(Arc<Candidate>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.at_work -= 1);
    }
}

impl Candidate {
    /// Stands for a lease, by a task, once it may begin to.
    pub(crate) fn start(
        name: String,
        fence: Fence,
        settings: &Settings,
        rest: &Rest,
        begins: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let namespace = settings.namespace.clone();
        let (state, task, note) = (watch::Sender::default(), Mutex::default(), Mutex::default());
        let candidate = Arc::new(Self { name, namespace, fence, state, task, note });
        let driver = Driver {
            elector: Elector::new(settings.identity.clone(), settings.timings, Moment::now(), super::random),
            leases: Leases::new(rest.clone(), &candidate.namespace, &candidate.name),
            watching: Watching::new(
                rest.clone(),
                &candidate.namespace,
                &candidate.name,
                settings.timings.retry_period,
            ),
            candidate: Arc::clone(&candidate),
            settings: settings.clone(),
            said: Said::default(),
        };
        *lock(&candidate.task) = Some(tokio::spawn(driver.run(begins)));
        candidate
    }

    /// What is noted on the lease whenever it is written from now on, as long as this host holds it.
    pub(crate) fn note(&self, note: Option<Value>) {
        *lock(&self.note) = note;
    }

    /// What closes when the lease is lost.
    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Where the lease is.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.borrow();
        let lease = format!("{}/{}", self.namespace, self.name);
        Standing { lease, leads: state.leads, holder: state.holder.clone() }
    }

    /// Waits until the lease is held here.
    pub(crate) async fn led(&self) {
        // The sender is here, so this waits.
        let _ = self.state.subscribe().wait_for(|state| state.leads).await;
    }

    /// Has a plugin work while the lease is held, and stand by otherwise; it does not end.
    pub(crate) async fn drive(self: Arc<Self>, controller: Arc<Controller>) {
        let mut state = self.state.subscribe();
        while state.wait_for(|state| state.leads).await.is_ok() {
            let Some(_at_work) = self.begin_work() else { continue };
            let stop = async {
                // An error is the candidate's end, by which it leads no more.
                let _ = state.wait_for(|state| !state.leads).await;
                controller.deactivate().await;
            };
            // To request all objects may take longer than the lease is held.
            tokio::join!(controller.activate(), stop);
        }
    }

    fn begin_work(self: &Arc<Self>) -> Option<AtWork> {
        let begun = self.state.send_if_modified(|state| {
            state.at_work += usize::from(state.leads);
            state.leads
        });
        begun.then(|| AtWork(Arc::clone(self)))
    }

    /// Gives the lease back, once nobody works under it any more, and stands for it no longer.
    pub(crate) async fn end(&self) {
        self.state.send_modify(|state| state.ending = true);
        let task = lock(&self.task).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Driver {
    elector: Elector,
    leases: Leases,
    watching: Watching,
    candidate: Arc<Candidate>,
    settings: Settings,
    said: Said,
}

/// The troubles that the log has, so that it has each once: until what was in trouble succeeds.
#[derive(Default)]
struct Said {
    reading: String,
    writing: String,
}

/// What the wall clock shows.
fn time() -> String {
    micro_time(SystemTime::now())
}

impl Driver {
    async fn run(mut self, mut begins: watch::Receiver<bool>) {
        let mut state = self.candidate.state.subscribe();
        tokio::select! {
            _ = state.wait_for(|state| state.ending && state.at_work == 0) => return,
            Ok(_) = begins.wait_for(|begins| *begins) => {}
        }
        loop {
            let now = Moment::now();
            let next = self.elector.next(now, &time());
            if self.publish(now) {
                self.stopped().await;
                continue;
            }
            let end = state.wait_for(|state| state.ending && state.at_work == 0);
            match next {
                Next::Wait(until) => {
                    let leads = self.elector.leads_until(now).is_some();
                    let wait = until.saturating_since(now);
                    let wait = if leads { wait.min(LOOK) } else { wait };
                    if leads {
                        self.watching.stop();
                    }
                    tokio::select! {
                        _ = end => break,
                        () = tokio::time::sleep(wait) => {}
                        () = self.watching.freed(), if !leads => self.elector.freed(Moment::now()),
                    }
                }
                Next::Read => {
                    let read = tokio::select! {
                        _ = end => break,
                        read = self.leases.read(self.within(now)) => read,
                    };
                    self.read(read);
                }
                // What was written must not be forgotten: it would keep the lease from others.
                Next::Write(write) => {
                    let answer = self.write(&write, self.within(now)).await;
                    self.wrote(now, &write, answer);
                }
            }
        }
        self.give_back().await;
    }

    /// How long a request may take: while the lease is held, no longer than it is.
    fn within(&self, now: Moment) -> Duration {
        let longest = self.settings.timings.renew_deadline / 2;
        let left = self.elector.leads_until(now).map(|until| until.saturating_since(now));
        left.map_or(longest, |left| left.min(longest))
    }

    async fn write(&mut self, write: &Write, within: Duration) -> Result<String, Failure> {
        let note = lock(&self.candidate.note).clone();
        self.leases.write(write, note.as_ref(), within).await
    }

    fn read(&mut self, read: Result<Option<Lease>, Failure>) {
        match &read {
            Ok(_) => self.said.reading.clear(),
            Err(failure) => {
                let (trouble, remedy) = (failure.to_string(), self.permission());
                if self.said.reading != trouble {
                    self.warn("read", &trouble, &remedy);
                    self.said.reading = trouble;
                }
            }
        }
        let patience = self.settings.patience();
        self.elector.read(Moment::now(), read.map_err(drop), patience, &time());
    }

    fn wrote(&mut self, sent: Moment, write: &Write, answer: Result<String, Failure>) {
        let answer = match answer {
            Ok(version) => {
                self.said = Said::default();
                Ok(version)
            }
            Err(failure) => Err(self.not_written(write, &failure)),
        };
        self.elector.wrote(Moment::now(), sent, write, answer);
    }

    fn not_written(&mut self, write: &Write, failure: &Failure) -> NotWritten {
        let remedy = match (failure.code(), &write.replaces) {
            // It is another one by now, or it is there already; or the one to replace is gone.
            (Some(409), _) | (Some(404), Some(_)) => return NotWritten::Conflict,
            (Some(404), None) => format!(
                "there is no namespace {}: create it, or name another one by --lease-namespace",
                self.candidate.namespace
            ),
            _ => self.permission(),
        };
        let trouble = failure.to_string();
        if self.said.writing != trouble {
            self.warn("written", &trouble, &remedy);
            self.said.writing = trouble;
        }
        NotWritten::Unknown
    }

    fn permission(&self) -> String {
        format!(
            "the host needs get, create and update of leases.coordination.k8s.io in namespace {}",
            self.candidate.namespace
        )
    }

    fn warn(&self, what: &str, trouble: &str, remedy: &str) {
        let lease = &self.candidate.name;
        tracing::warn!(lease, "the lease cannot be {what}, and is tried again ({remedy}): {trouble}");
    }

    /// Tells others where the lease is; whether it was lost.
    fn publish(&mut self, now: Moment) -> bool {
        let (until, holder) = (self.elector.leads_until(now), self.elector.holder());
        match until {
            Some(until) => self.candidate.fence.open_until(until),
            None => self.candidate.fence.close(),
        }
        let mut change = None;
        self.candidate.state.send_if_modified(|state| {
            change = (state.leads != until.is_some()).then_some(until.is_some());
            let news = change.is_some() || state.holder != holder;
            state.leads = until.is_some();
            holder.clone_into(&mut state.holder);
            news
        });
        let (lease, identity) = (&self.candidate.name, &self.settings.identity);
        match change {
            None => {}
            Some(true) => {
                self.settings.held.fetch_add(1, Ordering::Relaxed);
                tracing::info!(lease, identity, "lease acquired: this host leads");
            }
            Some(false) => {
                self.settings.held.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(
                    lease,
                    identity,
                    holder,
                    "lease lost: work under it is stopped, and this host stands by"
                );
            }
        }
        change == Some(false)
    }

    /// Waits until all work under the lease has stopped.
    async fn stopped(&self) {
        let mut state = self.candidate.state.subscribe();
        loop {
            let idle = state.wait_for(|state| state.at_work == 0);
            if tokio::time::timeout(SLOW, idle).await.is_ok() {
                return;
            }
            tracing::warn!(
                lease = self.candidate.name,
                "work under the lease does not stop; until it does, this host does not stand for it"
            );
        }
    }

    async fn give_back(mut self) {
        self.candidate.fence.close();
        let mut led = false;
        // By what others were told: the deadline may have passed since.
        self.candidate.state.send_modify(|state| led = std::mem::take(&mut state.leads));
        if led {
            self.settings.held.fetch_sub(1, Ordering::Relaxed);
        }
        let lease = self.candidate.name.clone();
        match tokio::time::timeout(GIVE_BACK, self.try_give_back()).await {
            Ok(true) => tracing::info!(lease, "lease released: another host can take it at once"),
            Ok(false) => {}
            Err(_) => {
                tracing::warn!(lease, "the lease could not be released: others wait until it has run out")
            }
        }
    }

    /// Whether there was something to give back.
    async fn try_give_back(&mut self) -> bool {
        loop {
            if self.elector.in_doubt() {
                match self.leases.read(GIVE_BACK).await {
                    Ok(Some(lease)) => self.elector.see(lease, Moment::now()),
                    Ok(None) => return false,
                    Err(_) => {
                        tokio::time::sleep(GIVE_BACK_PAUSE).await;
                        continue;
                    }
                }
            }
            let Some(write) = self.elector.release(&time()) else { return false };
            let sent = Moment::now();
            if self.write(&write, GIVE_BACK).await.is_ok() {
                return true;
            }
            // An earlier write may have come late, or this one's answer may have been lost.
            self.elector.wrote(Moment::now(), sent, &write, Err(NotWritten::Unknown));
            tokio::time::sleep(GIVE_BACK_PAUSE).await;
        }
    }
}

/// How many leases a host holds.
pub(crate) type Held = Arc<AtomicUsize>;
