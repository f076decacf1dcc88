//! What several threads decide by: locks and signals. `tests/interleaving` puts those of a model
//! checker in their place, and tries the orders in which threads can come. Counters that are only shown
//! are no part of it.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) use tokio::sync::{Notify, watch};
