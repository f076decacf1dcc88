//! What one plugin has used of what it may use over time, and how often it went over a limit. All of its
//! revisions and instances share one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ApiError;
use crate::bucket::Bucket;
use crate::limits::{Limit, Limits};

/// Of its share of the prompt threads in a second, a plugin may use so much at once.
const AT_ONCE: f64 = 1.0 / 60.0;
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
    buckets: Mutex<Buckets>,
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

#[derive(Debug)]
struct Buckets {
    cpu: Bucket,
    prompt: Bucket,
    /// It may have the prompt threads whenever it runs at all.
    trusted: bool,
    api_requests: Bucket,
    events: Bucket,
    log_lines: Bucket,
    log_bytes: Bucket,
}

impl Usage {
    /// Nothing is used yet.
    pub fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        let empty = || Bucket::new(f64::MAX, 0.0, now);
        let mut buckets = Buckets {
            cpu: empty(),
            prompt: empty(),
            trusted: false,
            api_requests: empty(),
            events: empty(),
            log_lines: empty(),
            log_bytes: empty(),
        };
        buckets.resize(limits, now);
        Self {
            buckets: Mutex::new(buckets),
            breaches: Default::default(),
            cpu: AtomicU64::new(0),
            host_calls: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            on_prompt: AtomicBool::new(false),
        }
    }

    /// From now on these limits count.
    pub fn resize(&self, limits: &Limits) {
        self.lock().resize(limits, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request to the API server.
    ///
    /// # Errors
    /// There were too many of late; nothing is to be sent.
    pub fn api_request(&self) -> Result<(), ApiError> {
        let taken = self.lock().api_requests.take(1.0, Instant::now());
        taken.map_err(|wait| self.exceeded(Limit::ApiRequestsPerSecond, "requests to the API server", wait))
    }

    /// One Kubernetes Event.
    ///
    /// # Errors
    /// There were too many of late; nothing is to be sent.
    pub fn event(&self) -> Result<(), ApiError> {
        let taken = self.lock().events.take(1.0, Instant::now());
        taken.map_err(|wait| self.exceeded(Limit::EventsPerMinute, "Events", wait))
    }

    /// One line of the log; the limit that is in its way, if it is not to be written.
    ///
    /// # Errors
    /// Which limit.
    pub fn log_line(&self, bytes: usize) -> Result<(), Limit> {
        let now = Instant::now();
        let mut buckets = self.lock();
        let limit = if buckets.log_lines.take(1.0, now).is_err() {
            Limit::LogLinesPerSecond
        } else if buckets.log_bytes.take(bytes as f64, now).is_err() {
            Limit::LogBytesPerSecond
        } else {
            return Ok(());
        };
        drop(buckets);
        self.breach(limit);
        Err(limit)
    }

    /// Processor time that was used, and what comes of it.
    pub fn cpu(&self, used: Duration) -> CpuShare {
        let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.cpu.fetch_add(nanos, Ordering::Relaxed);
        self.charge(used)
    }

    /// Whether a call that begins has to pause for those before it.
    pub fn cpu_share(&self) -> CpuShare {
        self.charge(Duration::ZERO)
    }

    fn charge(&self, used: Duration) -> CpuShare {
        let (used, now) = (used.as_secs_f64(), Instant::now());
        let mut buckets = self.lock();
        let pause = buckets.cpu.charge(used, now);
        let trusted = buckets.trusted;
        CpuShare { pause, trusted, greedy: buckets.charge_prompt(used, now) }
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

impl Buckets {
    fn charge_prompt(&mut self, used: f64, now: Instant) -> bool {
        let debt = self.prompt.per_second() * GREED;
        self.prompt.charge_up_to(used, debt, now) && !self.trusted
    }

    fn resize(&mut self, limits: &Limits, now: Instant) {
        let cpu = limits.cpu_per_second.as_secs_f64();
        // What a short burst takes is not worth a pause.
        self.cpu.resize(cpu, cpu, now);
        let prompt = limits.prompt_cpu_per_second.as_secs_f64();
        self.prompt.resize(prompt * AT_ONCE, prompt, now);
        self.trusted = limits.prompt_cpu_per_second >= limits.cpu_per_second;
        let burst = limits.api_requests_burst.max(limits.api_requests_per_second);
        self.api_requests.resize(burst.into(), limits.api_requests_per_second.into(), now);
        self.events.resize(limits.events_per_minute.into(), f64::from(limits.events_per_minute) / 60.0, now);
        self.log_lines.resize(limits.log_lines_per_second.into(), limits.log_lines_per_second.into(), now);
        let bytes = limits.log_bytes_per_second as f64;
        self.log_bytes.resize(bytes, bytes, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_a_rate_is_an_error_with_its_name_and_counted() {
        let usage = Usage::new(&Limits {
            api_requests_per_second: 1,
            api_requests_burst: 2,
            events_per_minute: 1,
            log_lines_per_second: 2,
            log_bytes_per_second: 10,
            ..Limits::default()
        });
        assert!(usage.api_request().is_ok() && usage.api_request().is_ok() && usage.event().is_ok());
        let error = usage.api_request().unwrap_err().to_string();
        assert!(error.starts_with("limit apiRequestsPerSecond: too many requests"), "{error}");
        assert!(matches!(usage.event(), Err(ApiError::LimitExceeded { limit: Limit::EventsPerMinute, .. })));
        assert_eq!(usage.log_line(8), Ok(()));
        assert_eq!(usage.log_line(8), Err(Limit::LogBytesPerSecond));
        assert_eq!(usage.log_line(1), Err(Limit::LogLinesPerSecond));
        let hit: Vec<(Limit, u64)> = usage.breaches().filter(|(_, count)| *count > 0).collect();
        let expected = [
            Limit::ApiRequestsPerSecond,
            Limit::EventsPerMinute,
            Limit::LogLinesPerSecond,
            Limit::LogBytesPerSecond,
        ];
        assert_eq!(hit, expected.map(|limit| (limit, 1)));
    }

    #[test]
    fn one_call_of_a_plugin_computes_on_a_prompt_thread_at_a_time() {
        let usage = Usage::new(&Limits::default());
        let place = usage.prompt_place().unwrap();
        assert!(usage.prompt_place().is_none());
        drop(place);
        assert!(usage.prompt_place().is_some());
    }

    #[test]
    fn processor_time_over_its_share_is_a_pause() {
        let limits = Limits {
            cpu_per_second: Duration::from_millis(100),
            prompt_cpu_per_second: Duration::from_millis(30),
            ..Limits::default()
        };
        let usage = Usage::new(&limits);
        assert_eq!(
            usage.cpu(Duration::from_micros(100)),
            CpuShare { pause: Duration::ZERO, greedy: false, trusted: false }
        );
        assert_eq!(
            usage.cpu(Duration::from_micros(99_900)),
            CpuShare { pause: Duration::ZERO, greedy: true, trusted: false }
        );
        let CpuShare { pause, .. } = usage.cpu(Duration::from_millis(50));
        assert!(pause > Duration::from_millis(400) && pause <= Duration::from_millis(500), "{pause:?}");
        assert_eq!(usage.cpu_total(), Duration::from_millis(150));
        let limits = Limits { prompt_cpu_per_second: limits.cpu_per_second, ..limits };
        let trusted = Usage::new(&limits).cpu(Duration::from_millis(99));
        assert_eq!(trusted, CpuShare { pause: Duration::ZERO, greedy: false, trusted: true });
    }
}
