//! Real plugins with bytes changed, cut off or repeated: each is taken or refused, and nothing else happens.
//! `WHEELHOUSE_FUZZ_CASES` says how many are tried.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use wheelhouse_sandbox::{LoadError, inspect};

use crate::support::Neighbour;
use crate::{Attacked, plugin, small};

const SEEDS: [&str; 3] = ["hello", "node-census", "hostile"];

/// What is done to a component; places are shares of its length, in millionths.
#[derive(Clone, Debug)]
enum Mutation {
    Set(u32, u8),
    Flip(u32, u8),
    Cut(u32),
    Remove(u32, usize),
    Repeat(u32, usize),
    Splice(u32, u32, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = 0..1_000_000_u32;
    // The head of a file has its sections, and the tail its exports and names.
    let place = prop_oneof![place.clone(), 0..2_000_u32, 990_000..1_000_000_u32];
    let size: Range<usize> = 1..64;
    prop_oneof![
        4 => (place.clone(), prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)])
            .prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (place.clone(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => place.clone().prop_map(Mutation::Cut),
        1 => (place.clone(), size.clone()).prop_map(|(at, size)| Mutation::Remove(at, size)),
        1 => (place.clone(), size.clone()).prop_map(|(at, size)| Mutation::Repeat(at, size)),
        1 => (place.clone(), place, size).prop_map(|(from, to, size)| Mutation::Splice(from, to, size)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let place = |share: u32| bytes.len().saturating_sub(1) * share as usize / 1_000_000;
    let range = |share: u32, size: usize| place(share)..(place(share) + size).min(bytes.len());
    match *mutation {
        _ if bytes.is_empty() => {}
        Mutation::Set(at, byte) => {
            let at = place(at);
            bytes[at] = byte;
        }
        Mutation::Flip(at, bit) => {
            let at = place(at);
            bytes[at] ^= 1 << bit;
        }
        Mutation::Cut(at) => bytes.truncate(place(at)),
        Mutation::Remove(at, size) => drop(bytes.drain(range(at, size))),
        Mutation::Repeat(at, size) => {
            let (range, again) = (range(at, size), bytes[range(at, size)].to_vec());
            bytes.splice(range.start..range.start, again);
        }
        Mutation::Splice(from, to, size) => {
            let (piece, to) = (bytes[range(from, size)].to_vec(), range(to, size));
            bytes.splice(to, piece);
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(SEEDS.as_slice());
    (seed, prop::collection::vec(mutation(), 1..6)).prop_map(|(seed, mutations)| {
        let mut bytes = plugin(seed).to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        bytes
    })
}

/// So many cases, or as many as are asked for.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("WHEELHOUSE_FUZZ_CASES").ok();
    let cases = asked.map_or(default, |cases| cases.parse().expect("WHEELHOUSE_FUZZ_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

#[test]
fn hostile_a_mutated_plugin_is_read_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let neighbour = runtime.block_on(Neighbour::start());
    proptest!(cases(1000), |(bytes in mutated())| {
        // What it says does not matter: that it says something does.
        let _ = runtime.block_on(neighbour.beside(async { inspect(&bytes) }));
    });
}

#[test]
fn hostile_a_mutated_plugin_is_compiled_or_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let attacked = runtime.block_on(Attacked::new(small()));
    proptest!(cases(40), |(bytes in mutated())| {
        let begun = Instant::now();
        let compiled = runtime.block_on(attacked.compile(&Arc::from(bytes)));
        // A panic is an error of the compiler.
        let panicked = matches!(&compiled, Err(LoadError::Compiler(_)));
        prop_assert!(!panicked, "{:?}", compiled.err());
        prop_assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    });
}
