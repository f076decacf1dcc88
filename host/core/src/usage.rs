//! What one plugin has used of what it may use over time, and how often it went over a limit. All of its
//! revisions and instances share one.
//!
//! Nobody waits for whoever is about to take note of processor time: that may be a thread that gives way to
//! all others, and that the kernel keeps from running with the account in its hands. What cannot be noted at
//! once is noted by the next who can, and is not lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::ApiError;
use crate::bucket::Bucket;
use crate::limits::{Limit, Limits};

/// Of its share of the prompt threads in a second, a plugin may use so much at once.
const AT_ONCE: f64 = 1.0 / 300.0;
/// And so much is the most that is held against it: a third of a second of rest makes up for the worst.
const GREED: f64 = 1.0 / 3.0;

/// What comes of the processor time that a plugin has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShare {
    /// It has used more than its limit: so long nothing of it may run.
    pub pause: Duration,
    /// It has used more of the prompt threads than others should have to wait for: it is to run where
    /// nobody waits for it.
    pub greedy: bool,
    /// It is never to be moved.
    pub trusted: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Usage {
    processor: Mutex<Processor>,
    /// Nanoseconds of processor time that are not in there yet.
    owed: AtomicU64,
    published: Published,
    rates: Mutex<Rates>,
    /// Of each limit, in the order of [`Limit::ALL`].
    breaches: [AtomicU64; Limit::ALL.len()],
    /// Nanoseconds.
    cpu: AtomicU64,
    host_calls: AtomicU64,
    /// Bytes of memories and tables of its instances, now.
    memory: AtomicU64,
    /// Whether one of its calls computes on a prompt thread.
    on_prompt: AtomicBool,
}

/// See [`Usage::prompt_place`].
#[derive(Debug)]
pub struct PromptPlace<'a>(&'a Usage);

impl Drop for PromptPlace<'_> {
    fn drop(&mut self) {
        self.0.on_prompt.store(false, Ordering::Release);
    }
}

/// Processor time.
#[derive(Debug)]
struct Processor {
    all: Bucket,
    prompt: Bucket,
}

/// What came of the processor time when it was last noted. To read it takes no lock.
#[derive(Debug)]
struct Published {
    since: Instant,
    /// Nanoseconds from then on, after which there is no debt; [`NEVER`] if there always is one.
    paid: AtomicU64,
    /// Likewise, of the prompt threads.
    prompt_paid: AtomicU64,
    /// It may have the prompt threads whenever it runs at all.
    trusted: AtomicBool,
}

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
struct Rates {
    api_requests: Bucket,
    events: Bucket,
    log_lines: Bucket,
    log_bytes: Bucket,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

impl Usage {
    /// Nothing is used yet.
    pub fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let empty = || Bucket::new(f64::MAX, 0.0, now);
        let usage = Self {
            processor: Mutex::new(Processor { all: empty(), prompt: empty() }),
            owed: AtomicU64::new(0),
            published: Published {
                since: now,
                paid: AtomicU64::new(0),
                prompt_paid: AtomicU64::new(0),
                trusted: AtomicBool::new(false),
            },
            rates: Mutex::new(Rates {
                api_requests: empty(),
                events: empty(),
                log_lines: empty(),
                log_bytes: empty(),
            }),
            breaches: Default::default(),
            cpu: AtomicU64::new(0),
            host_calls: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            on_prompt: AtomicBool::new(false),
        };
        usage.resize(limits);
        usage
    }

    /// From now on these limits count.
    pub fn resize(&self, limits: &Limits) {
        locked(&self.rates).resize(limits, Instant::now());
        let trusted = limits.prompt_cpu_per_second >= limits.cpu_per_second;
        let mut processor = locked(&self.processor);
        processor.resize(limits, Instant::now());
        self.published.trusted.store(trusted, Ordering::Relaxed);
        self.note(&mut processor);
    }

    /// One request to the API server.
    ///
    /// # Errors
    /// There were too many of late; nothing is to be sent.
    pub fn api_request(&self) -> Result<(), ApiError> {
        let taken = locked(&self.rates).api_requests.take(1.0, Instant::now());
        taken.map_err(|wait| self.exceeded(Limit::ApiRequestsPerSecond, "requests to the API server", wait))
    }

    /// One Kubernetes Event.
    ///
    /// # Errors
    /// There were too many of late; nothing is to be sent.
    pub fn event(&self) -> Result<(), ApiError> {
        let taken = locked(&self.rates).events.take(1.0, Instant::now());
        taken.map_err(|wait| self.exceeded(Limit::EventsPerMinute, "Events", wait))
    }

    /// One line of the log; the limit that is in its way, if it is not to be written.
    ///
    /// # Errors
    /// Which limit.
    pub fn log_line(&self, bytes: usize) -> Result<(), Limit> {
        let now = Instant::now();
        let mut rates = locked(&self.rates);
        let limit = if rates.log_lines.take(1.0, now).is_err() {
            Limit::LogLinesPerSecond
        } else if rates.log_bytes.take(bytes as f64, now).is_err() {
            Limit::LogBytesPerSecond
        } else {
            return Ok(());
        };
        drop(rates);
        self.breach(limit);
        Err(limit)
    }

    /// Processor time that was used, and what comes of it.
    pub fn cpu(&self, used: Duration) -> CpuShare {
        self.cpu.fetch_add(nanos(used), Ordering::Relaxed);
        self.owed.fetch_add(nanos(used), Ordering::Relaxed);
        self.settle();
        self.published.share()
    }

    /// Whether a call that begins has to pause for those before it.
    pub fn cpu_share(&self) -> CpuShare {
        if self.owed.load(Ordering::Relaxed) > 0 {
            self.settle();
        }
        self.published.share()
    }

    /// Notes what is owed, unless somebody else has the account: then the next call does.
    fn settle(&self) {
        match self.processor.try_lock() {
            Ok(mut processor) => self.note(&mut processor),
            Err(TryLockError::Poisoned(poisoned)) => self.note(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn note(&self, processor: &mut Processor) {
        let used = Duration::from_nanos(self.owed.swap(0, Ordering::Relaxed)).as_secs_f64();
        let now = Instant::now();
        let debt = processor.prompt.per_second() * GREED;
        let paid = processor.all.charge(used, now);
        let prompt_paid = processor.prompt.charge_up_to(used, debt, now);
        self.published.publish(now, paid, prompt_paid);
    }

    /// Takes the plugin's place on the prompt threads, for as long as a call computes without a break. None
    /// if another of its calls has it: two would keep two threads from its neighbours.
    pub fn prompt_place(&self) -> Option<PromptPlace<'_>> {
        let free = self.on_prompt.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free.then_some(PromptPlace(self))
    }

    /// Calls of the host that were made.
    pub fn host_calls(&self, made: u32) {
        self.host_calls.fetch_add(made.into(), Ordering::Relaxed);
    }

    /// Takes note that a limit was hit.
    pub fn breach(&self, limit: Limit) {
        let position = Limit::ALL.iter().position(|other| *other == limit);
        if let Some(count) = position.and_then(|position| self.breaches.get(position)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often each limit was hit.
    pub fn breaches(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.breaches.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Processor time of all calls so far.
    pub fn cpu_total(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// An instance has so many bytes of memories and tables, and had so many.
    pub fn memory_changed(&self, had: usize, has: usize) {
        let (had, has) = (had as u64, has as u64);
        if has >= had {
            self.memory.fetch_add(has - had, Ordering::Relaxed);
        } else {
            self.memory.fetch_sub(had - has, Ordering::Relaxed);
        }
    }

    /// Bytes of memories and tables of all its instances, now.
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Calls of the host so far.
    pub fn host_calls_total(&self) -> u64 {
        self.host_calls.load(Ordering::Relaxed)
    }

    fn exceeded(&self, limit: Limit, what: &str, wait: Duration) -> ApiError {
        self.breach(limit);
        let when =
            if wait == Duration::MAX { String::new() } else { format!("; there is room in {wait:.1?}") };
        ApiError::LimitExceeded { limit, message: format!("too many {what}{when}") }
    }
}

impl Published {
    fn publish(&self, now: Instant, paid: Duration, prompt_paid: Duration) {
        let since = now.saturating_duration_since(self.since);
        let at = |wait: Duration| if wait.is_zero() { 0 } else { nanos(since.saturating_add(wait)) };
        self.paid.store(at(paid), Ordering::Relaxed);
        self.prompt_paid.store(at(prompt_paid), Ordering::Relaxed);
    }

    fn share(&self) -> CpuShare {
        let (paid, prompt_paid) =
            (self.paid.load(Ordering::Relaxed), self.prompt_paid.load(Ordering::Relaxed));
        let trusted = self.trusted.load(Ordering::Relaxed);
        if paid == 0 && prompt_paid == 0 {
            return CpuShare { pause: Duration::ZERO, greedy: false, trusted };
        }
        let now = nanos(self.since.elapsed());
        let pause = match paid {
            NEVER => Duration::MAX,
            paid => Duration::from_nanos(paid.saturating_sub(now)),
        };
        CpuShare { pause, greedy: prompt_paid > now && !trusted, trusted }
    }
}

impl Processor {
    fn resize(&mut self, limits: &Limits, now: Instant) {
        let all = limits.cpu_per_second.as_secs_f64();
        // What a short burst takes is not worth a pause.
        self.all.resize(all, all, now);
        let prompt = limits.prompt_cpu_per_second.as_secs_f64();
        self.prompt.resize(prompt * AT_ONCE, prompt, now);
    }
}

impl Rates {
    fn resize(&mut self, limits: &Limits, now: Instant) {
        let burst = limits.api_requests_burst.max(limits.api_requests_per_second);
        self.api_requests.resize(burst.into(), limits.api_requests_per_second.into(), now);
        self.events.resize(limits.events_per_minute.into(), f64::from(limits.events_per_minute) / 60.0, now);
        self.log_lines.resize(limits.log_lines_per_second.into(), limits.log_lines_per_second.into(), now);
        let bytes = limits.log_bytes_per_second as f64;
        self.log_bytes.resize(bytes, bytes, now);
    }
}

#[cfg(test)]
mod tests;
