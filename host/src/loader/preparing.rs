//! The preparation that is under way, of which there is one at a time.

use std::future::pending;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::preparation::{From, Preparation, Ready, Unready};

/// A preparation under way, which ends when this is dropped.
#[derive(Default)]
pub(super) struct Preparing {
    under_way: Option<UnderWay>,
}

/// What becomes of a preparation.
pub(super) enum News {
    /// It waits for the cluster, or for a grant.
    Waits,
    /// What it was of, and what has come of that; none if it ended without a word.
    Ended(From, Option<Result<Box<Ready>, Unready>>),
}

struct UnderWay {
    from: From,
    task: JoinHandle<Result<Ready, Unready>>,
    /// Whether it waits for the cluster, or for a grant.
    waits: watch::Receiver<bool>,
}

impl Preparing {
    pub(super) fn start(&mut self, preparation: Preparation, from: From) {
        self.stop();
        let waits = preparation.waits.subscribe();
        let task = tokio::spawn(preparation.run(from.clone()));
        self.under_way = Some(UnderWay { from, task, waits });
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// What it is of.
    pub(super) fn under_way(&self) -> Option<&From> {
        self.under_way.as_ref().map(|under_way| &under_way.from)
    }

    pub(super) fn waits(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| *under_way.waits.borrow())
    }

    pub(super) fn stop(&mut self) {
        if let Some(UnderWay { task, .. }) = self.under_way.take() {
            task.abort();
        }
    }

    /// What becomes of it; for ever nothing while there is none.
    pub(super) async fn news(&mut self) -> News {
        let Some(UnderWay { task, waits, .. }) = &mut self.under_way else { return pending().await };
        let ended = tokio::select! {
            biased;
            ended = task => ended,
            Ok(()) = waits.changed() => return News::Waits,
        };
        match self.under_way.take() {
            Some(UnderWay { from, .. }) => News::Ended(from, ended.ok().map(|ended| ended.map(Box::new))),
            None => pending().await,
        }
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.stop();
    }
}
