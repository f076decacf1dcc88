//! Threads that give way to all others of the machine's: for guests that compute for long.
//!
//! The scheduler lets a thread of the lowest priority run when no other wants to, and takes the processor
//! from it as soon as one does. So what computes here costs the others nothing but what is left.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::error::{CallError, SandboxError};

/// The lowest of `nice(2)`.
const LOWEST: i32 = 19;

/// See the module.
pub(crate) struct Background {
    /// It has the threads, and no tasks of its own. Always there but while it is dropped.
    threads: Option<Runtime>,
}

impl Background {
    /// So many threads at most; none is started before it is needed, and none is kept for long.
    pub(crate) fn new(threads: usize) -> Result<Self, SandboxError> {
        let threads = Builder::new_current_thread()
            .thread_name("background-guest")
            .max_blocking_threads(threads.max(1))
            .on_thread_start(|| {
                // It may fail under a seccomp profile; then these threads are as good as others.
                let _ = rustix::process::setpriority_process(None, LOWEST);
            })
            .build()
            .map_err(|error| SandboxError(format!("no background threads: {error}")))?;
        Ok(Self { threads: Some(threads) })
    }

    /// Runs a call there, with the timers and connections of the runtime that this is called in. When
    /// what this returns is dropped, the call is dropped, too, soon after.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, CallError> {
        let lost = || CallError::Instance("no background thread".to_owned());
        let Some(threads) = &self.threads else { return Err(lost()) };
        let (mut send, receive) = oneshot::channel();
        let home = Handle::current();
        threads.spawn_blocking(move || {
            let answer = home.block_on(async {
                tokio::select! {
                    biased;
                    () = send.closed() => None,
                    answer = call => Some(answer),
                }
            });
            if let Some(answer) = answer {
                // Nobody waits any more: the answer is dropped.
                let _ = send.send(answer);
            }
        });
        receive.await.unwrap_or_else(|_| Err(lost()))
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
