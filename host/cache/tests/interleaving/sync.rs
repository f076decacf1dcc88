//! In place of `src/sync.rs`: the same names, each of whose operations another thread may come before.
//!
//! tokio's signals are not modelled, but never block a thread that does not await them: so they are asked
//! as they are, once another thread could have come.

use std::ops::Deref;
use std::time::Duration;

pub(crate) use std::sync::PoisonError;

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock};

/// Another thread may come here. (The model knows no time.)
pub(crate) fn switch() {
    shuttle::thread::sleep(Duration::ZERO);
}

/// As `tokio::sync::Notify`.
#[derive(Default)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        switch();
        self.0.notify_one();
    }

    pub(crate) async fn notified(&self) {
        switch();
        self.0.notified().await;
    }
}

/// As `tokio::sync::watch`.
pub(crate) mod watch {
    use tokio::sync::watch;

    use super::{Deref, switch};

    pub(crate) struct Sender<T>(watch::Sender<T>);

    impl<T> Sender<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(watch::Sender::new(value))
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            switch();
            Receiver(self.0.subscribe())
        }

        pub(crate) fn borrow(&self) -> impl Deref<Target = T> {
            switch();
            self.0.borrow()
        }

        pub(crate) fn send_replace(&self, value: T) -> T {
            switch();
            self.0.send_replace(value)
        }

        pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
            switch();
            self.0.send_if_modified(modify)
        }
    }

    #[derive(Clone)]
    pub(crate) struct Receiver<T>(watch::Receiver<T>);

    impl<T> Receiver<T> {
        pub(crate) fn borrow(&self) -> impl Deref<Target = T> {
            switch();
            self.0.borrow()
        }

        pub(crate) async fn wait_for(
            &mut self,
            condition: impl FnMut(&T) -> bool,
        ) -> Result<impl Deref<Target = T>, watch::error::RecvError> {
            switch();
            self.0.wait_for(condition).await
        }
    }
}
