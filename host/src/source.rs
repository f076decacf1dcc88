//! Where plugins come from, behind one trait: a source tells what there is to run, and what changes.

use std::sync::Arc;

use tokio::sync::mpsc;
use wheelhouse_core::access::BoxFuture;

use crate::plugin_id::PluginId;

/// Tells of plugins.
pub(crate) trait Source: Send + 'static {
    /// Tells what there is, [`Change::InitialDone`], and then what changes, until the receiver is gone.
    fn tell(self: Box<Self>, changes: mpsc::Sender<Change>) -> BoxFuture<'static, ()>;
}

/// What a source has to tell.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is there, or is another one now.
    Present(PluginId, Wanted),
    /// It is there no more.
    Gone(PluginId),
    /// All that was there at first has been told.
    InitialDone,
}

/// What is to run.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The component.
    pub(crate) component: Arc<[u8]>,
    /// Its configuration, as JSON; `{}` if there is none.
    pub(crate) config: String,
    /// Where the configuration is written, for people.
    pub(crate) config_at: String,
}
