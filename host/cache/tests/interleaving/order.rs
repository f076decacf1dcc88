//! The orders in which threads come.
//!
//! They are chosen at random, from a fixed seed. When a test fails it prints the order as a text; with that
//! in the environment as `INTERLEAVING`, and the test's name as the filter, it runs in this order alone:
//!
//! ```text
//! INTERLEAVING=91018002... cargo test -p wheelhouse-cache --test interleaving filing::some_test
//! ```
//!
//! `SHUTTLE_RANDOM_SEED` takes another seed, to try other orders.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// How many orders each of the two schedulers tries.
const ORDERS: usize = 1500;
const SEED: u64 = 0x5eed;
/// The second one changes its mind one time less, about which thread goes first.
const DEPTH: usize = 4;

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // The sources and their trees are not optimised here.
    config.stack_size = 0x40_000;
    // A thread that waits for ever, but not idly.
    config.max_steps = MaxSteps::FailAfter(50_000);
    // That all atomic operations are as if sequential is known.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test);
}

/// Runs a test in many orders: in such where any thread may come at any time, and in such where a thread
/// goes on until it waits, but for a few changes.
pub(crate) fn in_many_orders(test: impl Fn() + Send + Sync + Clone + 'static) {
    if let Ok(order) = std::env::var("INTERLEAVING") {
        return run(ReplayScheduler::new_from_encoded(&order), test);
    }
    run(RandomScheduler::new_from_seed(SEED, ORDERS), test.clone());
    run(PctScheduler::new_from_seed(SEED, DEPTH, ORDERS), test);
}
