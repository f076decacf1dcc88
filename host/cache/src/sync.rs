//! The locks of what several threads touch. `tests/interleaving` puts those of a model checker in their
//! place, and tries the orders in which threads can come.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
