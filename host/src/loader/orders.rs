//! What an operator wants of a plugin that runs.

use tokio::sync::oneshot;

use super::Loader;
use crate::preparation::{Content, Recipe};

/// What an operator wants of a plugin. The answer says what was done, or why it cannot be.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
}

/// See [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Begin nothing more.
    Pause,
    /// Go on.
    Resume,
    /// To the revision with this number, or to the one before.
    Rollback(Option<u64>),
}

impl Loader {
    pub(super) async fn obey(&mut self, order: Order) {
        let done = match order.what {
            What::Pause => self.pause(true).await,
            What::Resume => self.pause(false).await,
            What::Rollback(number) => {
                // What its source wants is not what is to run.
                let refuses = self.content.as_ref().map(Content::mark).or_else(|| self.current_mark());
                tracing::info!(plugin = %self.id, revision = self.number(), "its operator has it rolled back");
                let leads = |recipe: &Recipe| !self.is_dead_end(&recipe.mark());
                self.history.target(number, leads).map(|target| target.number).map(|to| {
                    self.back_to(to, refuses, "by its operator");
                    format!("revision {} is replaced by what revision {to} was", self.number())
                })
            }
        };
        // Who asked may have gone.
        let _ = order.answer.send(done);
    }
}
