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
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::{Sleep, sleep, sleep_until, timeout};
use wheelhouse_core::limits::Limit;
use wheelhouse_core::usage::{CpuShare, Usage};

use crate::background::Background;
use crate::error::CallError;
use crate::turns::Turns;

/// A call has so much of the prompt threads; what takes longer goes on in the background.
const PROMPT: Duration = Duration::from_millis(5);

/// A pause in the background is interrupted so often, to see whether anybody still waits for the call.
const LOOK: Duration = Duration::from_millis(10);

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
    let turns = background.turns();
    if Background::is_here() {
        return running.in_background(&mut answering, &turns).await;
    }
    if let Some(ended) = running.promptly(&mut answering).await {
        return ended;
    }
    // The call watches its deadline where it goes on; whether it gets there at all is watched here.
    let (late, left) = (running.late(), running.left() + LOOK * 10);
    let going_on = async move { running.in_background(&mut answering, &turns).await };
    let lost = || Err(CallError::Instance("there is no background thread for it".to_owned()));
    match timeout(left, background.run(going_on)).await {
        Ok(ended) => ended.unwrap_or_else(lost),
        Err(_) => Err(late),
    }
}

thread_local! {
    /// Whether a call on this thread has a turn. One that is made in the middle of it (an index function
    /// that the host asks for the guest) has the same: another might never come.
    static TURN: Cell<bool> = const { Cell::new(false) };
}

struct Running {
    allowance: Allowance,
    begun: Instant,
    used: Duration,
    /// What the plugin has to pause for, now.
    pause: Duration,
    /// And what it has paused so far.
    paused: Duration,
    greedy: bool,
    trusted: bool,
}

impl Running {
    fn new(allowance: Allowance) -> Self {
        let CpuShare { pause, greedy, trusted } = allowance.usage.cpu_share();
        let (used, paused) = (Duration::ZERO, Duration::ZERO);
        Self { begun: Instant::now(), used, pause, paused, greedy, trusted, allowance }
    }

    /// Polls on a thread that all plugins share, until the call has ended, or (none) is to go on in the
    /// background.
    async fn promptly<T>(&mut self, answering: &mut Answering<T>) -> Option<Result<T, CallError>> {
        if self.greedy {
            return None;
        }
        let deadline = sleep_until(self.deadline().into());
        tokio::pin!(deadline);
        let mut pausing: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|context| {
            loop {
                if self.is_late() {
                    return Poll::Ready(Some(Err(self.late())));
                }
                if let Some(pause) = self.take_pause() {
                    pausing = Some(Box::pin(sleep(pause)));
                }
                if let Some(pause) = &mut pausing {
                    if pause.as_mut().poll(context).is_pending() {
                        // Or until the deadline, if that is earlier.
                        return deadline.as_mut().poll(context).map(|()| Some(Err(self.late())));
                    }
                    pausing = None;
                }
                let usage = Arc::clone(&self.allowance.usage);
                let place = usage.prompt_place();
                if place.is_none() && !self.trusted {
                    return Poll::Ready(None);
                }
                let clock = Clock::prompt();
                let polled = answering.as_mut().poll(context);
                let took = clock.elapsed();
                drop(place);
                if let Some(ended) = self.charge(took, polled) {
                    return Poll::Ready(Some(ended));
                }
                if !self.trusted && (self.greedy || self.used > PROMPT) {
                    return Poll::Ready(None);
                }
                // The timer is set when there is something to wait for, and not before: most calls end at
                // once, and all timers of the runtime are behind one lock.
                if self.pause.is_zero() && deadline.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls on a thread of the background, whenever it has a turn, until the call has ended.
    ///
    /// What it does between two polls takes as few locks as can be that a prompt thread might want: this thread
    /// may be kept from running at any time. For the same reason fewer of them run than there are processors.
    async fn in_background<T>(
        &mut self,
        answering: &mut Answering<T>,
        turns: &Arc<Turns>,
    ) -> Result<T, CallError> {
        let deadline = sleep_until(self.deadline().into());
        tokio::pin!(deadline);
        loop {
            while let Some(pause) = self.take_pause() {
                let (now, left) = (pause.min(LOOK), pause.saturating_sub(LOOK));
                #[allow(clippy::disallowed_methods, reason = "nobody else is on this thread")]
                std::thread::sleep(now.min(self.deadline().saturating_duration_since(Instant::now())));
                self.pause += left;
                self.paused = self.paused.saturating_sub(left);
                // Whether anybody still waits for the call is looked at here.
                yield_now().await;
                if self.is_late() {
                    return Err(self.late());
                }
            }
            let turn = if TURN.get() {
                None
            } else {
                // The deadline's own timer, which was set before: to set one takes a lock that the prompt
                // threads' timers have, too.
                let usage = Arc::clone(&self.allowance.usage);
                let mut asked = pin!(turns.acquire(&usage));
                let turn = poll_fn(|context| match asked.as_mut().poll(context) {
                    Poll::Ready(turn) => Poll::Ready(Some(turn)),
                    Poll::Pending => deadline.as_mut().poll(context).map(|()| None),
                });
                match turn.await {
                    None => return Err(self.late()),
                    turn => turn,
                }
            };
            let (took, polled) = poll_fn(|context| {
                let clock = Clock::background();
                let outer = TURN.replace(true);
                let polled = answering.as_mut().poll(context);
                TURN.set(outer);
                Poll::Ready((clock.elapsed(), polled))
            })
            .await;
            drop(turn);
            if let Some(ended) = self.charge(took, polled) {
                return ended;
            }
            if self.pause.is_zero() {
                // Until it is woken: by what it waits for, by itself, or by the deadline.
                let mut woken = false;
                poll_fn(|context| {
                    let waits = !std::mem::replace(&mut woken, true);
                    if waits && deadline.as_mut().poll(context).is_pending() {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                })
                .await;
            }
            if self.is_late() {
                return Err(self.late());
            }
        }
    }

    /// Charges a poll to the call and to its plugin. How the call has ended, if it has.
    fn charge<T>(
        &mut self,
        took: Duration,
        polled: Poll<Result<T, CallError>>,
    ) -> Option<Result<T, CallError>> {
        self.used += took;
        let share = self.allowance.usage.cpu(took);
        if let Poll::Ready(ended) = polled {
            return Some(ended);
        }
        let (after, limit) = self.allowance.cpu;
        if self.used > after {
            return Some(Err(CallError::Cpu { limit, after }));
        }
        if !share.pause.is_zero() {
            self.allowance.usage.breach(Limit::CpuPerSecond);
        }
        (self.pause, self.greedy) = (share.pause, share.greedy);
        None
    }

    /// The pause that is due, if there is one: it is taken now.
    fn take_pause(&mut self) -> Option<Duration> {
        let pause = std::mem::take(&mut self.pause);
        self.paused += pause;
        (!pause.is_zero()).then_some(pause)
    }

    fn deadline(&self) -> Instant {
        self.begun.checked_add(self.allowance.time.0).unwrap_or(self.begun)
    }

    /// Of its time.
    fn left(&self) -> Duration {
        self.allowance.time.0.saturating_sub(self.begun.elapsed())
    }

    fn is_late(&self) -> bool {
        self.begun.elapsed() >= self.allowance.time.0
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
    fn background() -> Self {
        Self::Thread(thread_time())
    }

    fn prompt() -> Self {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use wheelhouse_core::limits::Limits;

    use super::*;

    const AFTER: Duration = Duration::from_millis(50);

    /// A call that has nothing of the prompt threads, and never answers.
    fn endless() -> (Answering<()>, Allowance) {
        let limits = Limits { prompt_cpu_per_second: Duration::ZERO, ..Limits::default() };
        let usage = Arc::new(Usage::new(&limits));
        let allowance = Allowance { time: (AFTER, Limit::MapTimeout), cpu: (AFTER, Limit::CallCpu), usage };
        (Box::pin(std::future::pending()), allowance)
    }

    fn late() -> Result<(), CallError> {
        Err(CallError::Timeout { limit: Limit::MapTimeout, after: AFTER, paused: Duration::ZERO })
    }

    /// What is to end ends in time.
    async fn ended<T>(doing: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(20), doing).await.expect("it does not end")
    }

    #[tokio::test]
    async fn hostile_a_call_for_which_no_background_thread_is_free_ends_at_its_deadline() {
        let background = Arc::new(Background::new(1).unwrap());
        let (release, held) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let holding = tokio::spawn({
            let background = Arc::clone(&background);
            async move {
                let hold = async move {
                    let _ = begin.send(());
                    // As a thread that the kernel does not let run.
                    let _ = held.recv();
                };
                background.run(hold).await
            }
        });
        begun.await.unwrap();
        let (answering, allowance) = endless();
        assert_eq!(ended(run(answering, allowance, &background)).await, late());
        drop(release);
        assert_eq!(ended(holding).await.unwrap(), Some(()));
        let (_, allowance) = endless();
        let answering: Answering<u32> = Box::pin(async { Ok(7) });
        assert_eq!(ended(run(answering, allowance, &background)).await, Ok(7), "the thread is free again");
    }

    #[tokio::test]
    async fn hostile_a_call_that_has_no_turn_ends_at_its_deadline() {
        let background = Arc::new(Background::new(1).unwrap());
        let (turns, other) = (background.turns(), endless().1.usage);
        let mut held = Vec::new();
        while let Ok(turn) = timeout(Duration::ZERO, turns.acquire(&other)).await {
            held.push(turn);
        }
        assert!(!held.is_empty());
        let (answering, allowance) = endless();
        assert_eq!(ended(run(answering, allowance, &background)).await, late());
        // And where nobody watches it from outside: on the thread itself.
        let calling = Arc::clone(&background);
        let on_the_thread = async move {
            let (answering, allowance) = endless();
            run(answering, allowance, &calling).await
        };
        assert_eq!(ended(background.run(on_the_thread)).await, Some(late()));
        drop(held);
        let (_, allowance) = endless();
        let answering: Answering<u32> = Box::pin(async { Ok(7) });
        assert_eq!(ended(run(answering, allowance, &background)).await, Ok(7), "a turn is free again");
    }
}
