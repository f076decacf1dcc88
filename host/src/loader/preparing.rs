//! The preparation that is under way, of which there is one at a time.

use tokio::task::JoinHandle;

use crate::preparation::{From, Preparation, Prepares};

/// A preparation under way, which ends when this is dropped.
#[derive(Default)]
pub(super) struct Preparing {
    task: Option<JoinHandle<Option<Prepares>>>,
    /// Whether it is a way back.
    pub(super) back: bool,
}

impl Preparing {
    pub(super) fn start(&mut self, preparation: Preparation, from: From) {
        self.stop();
        self.back = matches!(from, From::Kept(_, _, Some(_)));
        self.task = Some(tokio::spawn(preparation.run(from)));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.task.is_none()
    }

    pub(super) fn goes_back(&self) -> bool {
        self.back && self.task.is_some()
    }

    pub(super) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// What has come of it; for ever none while there is none.
    pub(super) async fn ended(&mut self) -> Option<Prepares> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ready = task.await;
        self.task = None;
        ready.ok().flatten()
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.stop();
    }
}
