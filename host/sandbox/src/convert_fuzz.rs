//! Whatever a guest hands over is an error or a request, and a request goes where the gate says.
//! `WHEELHOUSE_FUZZ_CASES` says how many cases are tried.

mod asks;
mod cluster;
mod specs;
mod texts;

use std::time::{Duration, Instant};

use proptest::prelude::*;

/// So many cases, or as many as are asked for.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("WHEELHOUSE_FUZZ_CASES").ok();
    let cases = asked.map_or(default, |cases| cases.parse().expect("WHEELHOUSE_FUZZ_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() }
}

/// What a message may have; most have a tenth of it.
const MESSAGE: usize = 1500;

/// For people: short, and without what forges lines or colours.
fn readable(message: &str) -> Result<(), TestCaseError> {
    prop_assert!(message.len() <= MESSAGE, "{} bytes: {:.300}", message.len(), message);
    prop_assert!(!message.contains(char::is_control), "{message:?}");
    Ok(())
}

/// What it returns, and soon: a case takes a few milliseconds, and a busy machine some more.
fn soon<T>(act: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    let begun = Instant::now();
    let result = act();
    prop_assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    Ok(result)
}
