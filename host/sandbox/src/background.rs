//! Threads that give way to all others of the machine's: for guests that compute for long.
//!
//! Linux' SCHED_IDLE lets a thread run when no other wants to, and takes the processor from it as soon as
//! one does: at once, which no niceness does. So what computes here costs the others what is left over.
//! (`sched(7)`.)

use std::cell::Cell;
use std::sync::Arc;

use thread_priority::unix::{set_thread_priority_and_policy, thread_native_id};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::error::SandboxError;
use crate::turns::Turns;

thread_local! {
    static HERE: Cell<bool> = const { Cell::new(false) };
}

/// See the module.
pub(crate) struct Background {
    /// It has the threads, and no tasks of its own. Always there but while it is dropped.
    threads: Option<Runtime>,
    /// One fewer than there are processors: one is always left to prompt threads, whatever the kernel is busy
    /// with for these (it gives up mapping and clearing memory for nobody). And one that is kept from running
    /// may hold something that a prompt thread waits for: then there is no crowd of its like before it.
    turns: Arc<Turns>,
}

impl Background {
    /// So many threads at most; none is started before it is needed, and none is kept for long.
    pub(crate) fn new(threads: usize) -> Result<Self, SandboxError> {
        let threads = Builder::new_current_thread()
            .thread_name("background-guest")
            .max_blocking_threads(threads.max(1))
            .on_thread_start(|| {
                HERE.set(true);
                // It may fail under a seccomp profile; then these threads are as good as others.
                let _ = set_thread_priority_and_policy(
                    thread_native_id(),
                    ThreadPriority::Min,
                    ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
                );
            })
            .build()
            .map_err(|error| SandboxError(format!("no background threads: {error}")))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self { threads: Some(threads), turns: Turns::new(processors.saturating_sub(1)) })
    }

    /// Who computes here takes one for each tick.
    pub(crate) fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// Whether this thread is one of them.
    pub(crate) fn is_here() -> bool {
        HERE.get()
    }

    /// Does something there, with the timers and connections of the runtime that this is called in. When
    /// what this returns is dropped, the doing is dropped, too, soon after. None if there is no thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        doing: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let threads = self.threads.as_ref()?;
        let (mut send, receive) = oneshot::channel();
        let home = Handle::current();
        threads.spawn_blocking(move || {
            let done = home.block_on(async {
                tokio::select! {
                    biased;
                    () = send.closed() => None,
                    done = doing => Some(done),
                }
            });
            if let Some(done) = done {
                // If nobody waits any more, it is dropped.
                let _ = send.send(done);
            }
        });
        receive.await.ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A runtime may not be waited for where this may be dropped: within another one.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
