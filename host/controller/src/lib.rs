//! A running plugin: its watches, its queue, its workers, and the switch from one revision to the
//! next.
//!
//! What it promises:
//!
//! - reconciles begin once every declared kind has synced and every object in it has been requested;
//! - no key is ever in two reconciles at once, across revisions too: both take from one queue;
//! - a switch loses no request: the old revision ends what it has begun, the new one takes all
//!   that is waiting, and every object is requested again, behind live changes;
//! - a revision that cannot be prepared changes nothing that runs, and one that does worse than the one before
//!   it can be told by its record;
//! - where a plugin asks for it, a change of anything that a reconcile has read requests its object again;
//! - a plugin that stands by has its caches filled, and requests, reconciles and writes nothing; one that is
//!   told to stand by has stopped when that returns.
//!
//! It does not know where components come from.

mod controller;
mod dependencies;
mod error;
mod mapping;
mod metrics;
mod patience;
mod prepare;
mod probation;
mod report;
mod revision;
mod tally;
mod ticks;
mod trace;
mod tracking;
mod turn;
mod worker;

pub use controller::{Controller, PluginStatus, Replaced};
pub use error::{NotGranted, PrepareError};
pub use metrics::{PluginMetrics, STUBBORN};
pub use prepare::{Prepared, Runtime, Shared};
pub use probation::{Probation, Verdict};
pub use report::Reports;
pub use tally::Record;
