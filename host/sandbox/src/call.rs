//! One call of a guest, from its start to its answer, its trap, or the limit that ends it.
//!
//! A running guest yields at every tick of the engine's clock, so a call is a future that is polled for a
//! tick at most. Each poll is measured, and what it took, the host's own work for the guest included, is
//! charged to the call's and to its plugin's processor time. So whatever a guest does:
//!
//! - it ends at its deadline, or when it has used the processor time that one call may have;
//! - a plugin that uses more than its share pauses between polls;
//! - a call that takes long, every call of a plugin that has taken much lately, and one while another of its
//!   plugin computes, goes on on a thread that gives way to all others ([`Background`]): a neighbour waits
//!   for none of them.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep, sleep_until};
use wheelhouse_core::limits::Limit;
use wheelhouse_core::usage::Usage;

use crate::background::Background;
use crate::error::CallError;

/// A call has so much of the prompt threads; what takes longer goes on in the background.
const PROMPT: Duration = Duration::from_millis(2);

/// A guest's answer, in the making.
pub(crate) type Answering<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// What one call may take.
pub(crate) struct Allowance {
    /// From its begin to its end.
    pub(crate) time: (Duration, Limit),
    /// Of a processor.
    pub(crate) cpu: (Duration, Limit),
    /// Of its plugin.
    pub(crate) usage: Arc<Usage>,
}

/// Runs a call within its allowance.
pub(crate) async fn run<T: Send + 'static>(
    mut answering: Answering<T>,
    allowance: Allowance,
    background: &Background,
) -> Result<T, CallError> {
    let mut running = Running::new(allowance);
    if Background::is_here() {
        let ended = running.go_on(&mut answering, Place::Background).await;
        return ended.unwrap_or_else(|| Err(lost()));
    }
    if let Some(ended) = running.go_on(&mut answering, Place::Prompt).await {
        return ended;
    }
    let going_on = async move {
        let ended = running.go_on(&mut answering, Place::Background).await;
        ended.unwrap_or_else(|| Err(lost()))
    };
    background.run(going_on).await.unwrap_or_else(|| Err(lost()))
}

fn lost() -> CallError {
    CallError::Instance("there is no background thread for it".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A thread that all plugins share, and the host's own tasks.
    Prompt,
    /// A thread of its own, which gives way to those.
    Background,
}

struct Running {
    allowance: Allowance,
    begun: Instant,
    used: Duration,
    paused: Duration,
    /// It is to go on in the background.
    demoted: bool,
    /// It never is.
    trusted: bool,
}

impl Running {
    fn new(allowance: Allowance) -> Self {
        let share = allowance.usage.cpu_share();
        Self {
            begun: Instant::now(),
            used: Duration::ZERO,
            paused: share.pause,
            demoted: share.greedy,
            trusted: share.trusted,
            allowance,
        }
    }

    /// Polls until the call has ended, or is to go on in the background.
    async fn go_on<T>(&mut self, answering: &mut Answering<T>, place: Place) -> Option<Result<T, CallError>> {
        if self.demoted && place == Place::Prompt {
            return None;
        }
        let deadline = self.begun.checked_add(self.allowance.time.0);
        let deadline = sleep_until(deadline.unwrap_or(self.begun).into());
        tokio::pin!(deadline);
        let mut pause = self.pause(self.paused);
        let usage = Arc::clone(&self.allowance.usage);
        poll_fn(|context| {
            loop {
                if self.begun.elapsed() >= self.allowance.time.0 {
                    return Poll::Ready(Some(Err(self.late())));
                }
                // The timer is set when there is something to wait for, and not before: most calls end at
                // once, and all timers of the runtime are behind one lock.
                if let Some(pausing) = &mut pause {
                    let over = deadline.as_mut().poll(context).is_ready();
                    if pausing.as_mut().poll(context).is_pending() && !over {
                        return Poll::Pending;
                    }
                    pause = None;
                }
                let on_prompt = match place {
                    Place::Background => None,
                    Place::Prompt => match usage.prompt_place() {
                        None if !self.trusted => {
                            self.demoted = true;
                            return Poll::Ready(None);
                        }
                        on_prompt => on_prompt,
                    },
                };
                let clock = Clock::start(place);
                let polled = answering.as_mut().poll(context);
                let took = clock.elapsed();
                drop(on_prompt);
                self.used += took;
                let share = usage.cpu(took);
                if let Poll::Ready(ended) = polled {
                    return Poll::Ready(Some(ended));
                }
                let (cpu, limit) = self.allowance.cpu;
                if self.used > cpu {
                    return Poll::Ready(Some(Err(CallError::Cpu { limit, after: cpu })));
                }
                if share.pause > Duration::ZERO {
                    usage.breach(Limit::CpuPerSecond);
                    self.paused += share.pause;
                    pause = self.pause(share.pause);
                }
                if place == Place::Prompt && (share.greedy || self.used > PROMPT && !self.trusted) {
                    self.demoted = true;
                    return Poll::Ready(None);
                }
                if pause.is_none() && deadline.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn pause(&self, how_long: Duration) -> Option<Pin<Box<Sleep>>> {
        (how_long > Duration::ZERO).then(|| Box::pin(sleep(how_long)))
    }

    fn late(&self) -> CallError {
        let (after, limit) = self.allowance.time;
        CallError::Timeout { limit, after, paused: self.paused.min(after) }
    }
}

/// Measures what a poll takes of a processor.
///
/// Reading a thread's own clock is a call of the kernel, which would cost as much as a small call of a
/// guest does. So on a prompt thread what is short is measured by the wall, and what is longer is not taken
/// for more than the thread has used since its clock was last read, which is not long ago. A thread that
/// other processes keep from running is so not taken for a greedy one.
enum Clock {
    Wall { begun: Instant, used: Duration },
    Thread(Duration),
}

/// What is short.
const SHORT: Duration = Duration::from_micros(100);

thread_local! {
    /// When the thread's clock was last read, and what it said.
    static READ: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

impl Clock {
    fn start(place: Place) -> Self {
        if place == Place::Background {
            return Self::Thread(thread_time());
        }
        let begun = Instant::now();
        let used = match READ.get() {
            Some((at, used)) if begun.saturating_duration_since(at) < SHORT => used,
            _ => {
                let used = thread_time();
                READ.set(Some((begun, used)));
                used
            }
        };
        Self::Wall { begun, used }
    }

    fn elapsed(self) -> Duration {
        match self {
            Self::Wall { begun, used } => {
                let wall = begun.elapsed();
                if wall < SHORT { wall } else { wall.min(thread_time().saturating_sub(used)) }
            }
            Self::Thread(begun) => thread_time().saturating_sub(begun),
        }
    }
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
