//! Random histories, against a model that has no index and looks at every key each time.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{advance, exact, ms, take};
use proptest::prelude::*;
use wheelhouse_queue::Priority::{self, High, Low};
use wheelhouse_queue::{HIGH_RUNS_PER_LOW, Work};

type Key = u8;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(Key, Priority),
    AddAfter(Key, u64, Priority),
    Next,
    /// Ends the run of the n-th key in flight, modulo their number.
    End(usize, End),
    Forget(Key),
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    RequeueAfter(u64),
    Retry,
    GiveUp,
    PutBack,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..6_u8;
    let priority = || prop_oneof![Just(Low), Just(High)];
    let end = prop_oneof![
        3 => Just(End::Done),
        1 => (0..40_u64).prop_map(End::RequeueAfter),
        3 => Just(End::Retry),
        1 => Just(End::GiveUp),
        1 => Just(End::PutBack),
        1 => Just(End::Drop),
    ];
    prop_oneof![
        4 => (key(), priority()).prop_map(|(key, priority)| Step::Add(key, priority)),
        3 => (key(), 0..40_u64, priority()).prop_map(|(key, delay, p)| Step::AddAfter(key, delay, p)),
        6 => Just(Step::Next),
        4 => (any::<usize>(), end).prop_map(|(n, end)| Step::End(n, end)),
        1 => key().prop_map(Step::Forget),
        3 => (0..30_u64).prop_map(Step::Advance),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    clock: u64,
    overtaken: u32,
    keys: BTreeMap<Key, Known>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    failures: u32,
    /// When it was first asked for.
    since: Option<u64>,
    /// While it runs: when it was first asked for again.
    again: Option<u64>,
    running_at: Option<Priority>,
    /// Priority, then order of arrival (without meaning while the key runs).
    wants_now: Option<(Priority, u64)>,
    /// Due time, order of arrival, priority.
    wants_later: Option<(u64, u64, Priority)>,
}

impl Model {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn add(&mut self, key: Key, priority: Priority) {
        self.add_at(key, priority, self.now);
    }

    fn add_at(&mut self, key: Key, priority: Priority, at: u64) {
        let order = self.tick();
        let known = self.keys.entry(key).or_default();
        let asked = if known.running_at.is_some() { &mut known.again } else { &mut known.since };
        asked.get_or_insert(at);
        if known.wants_now.is_none_or(|(had, _)| had < priority) {
            known.wants_now = Some((priority, order));
        }
        known.drop_needless_due_time();
    }

    fn add_after(&mut self, key: Key, delay: u64, priority: Priority) {
        if delay == 0 {
            return self.add(key, priority);
        }
        let (at, order) = (self.now + delay, self.tick());
        let known = self.keys.entry(key).or_default();
        known.wants_later = Some(match known.wants_later {
            Some((had, order, p)) if had <= at => (had, order, p.max(priority)),
            Some((_, _, p)) => (at, order, p.max(priority)),
            None => (at, order, priority),
        });
        known.drop_needless_due_time();
    }

    fn end(&mut self, key: Key, end: End) {
        let order = self.tick();
        let known = self.keys.entry(key).or_default();
        let ran_at = known.running_at.take().expect("the key runs");
        known.wants_now = known.wants_now.map(|(priority, _)| (priority, order));
        let comes_back = match end {
            End::Done => None,
            End::RequeueAfter(delay) => Some((self.now + delay, High)),
            End::Retry | End::Drop => Some((self.now + (5 << known.failures), ran_at)),
            End::GiveUp => {
                known.wants_later = None;
                None
            }
            End::PutBack => {
                known.wants_now =
                    Some(known.wants_now.map_or((ran_at, order), |(p, _)| (p.max(ran_at), order)));
                None
            }
        };
        match end {
            End::Done | End::RequeueAfter(_) => known.failures = 0,
            End::Retry | End::Drop => known.failures += 1,
            End::GiveUp | End::PutBack => {}
        }
        let again = known.again.take();
        if matches!(end, End::Done | End::RequeueAfter(_) | End::GiveUp) {
            known.since = again;
        }
        if let Some((at, priority)) = comes_back {
            let (had, p) = known.wants_later.map_or((at, priority), |(had, _, p)| (had, p));
            known.wants_later = Some((had.min(at), order, p.max(priority)));
        }
        if let Some((at, _, priority)) = known.wants_later {
            // In line for its due time from now on; what came due during the run is due now.
            known.wants_later = Some((at.max(self.now), order, priority));
        }
        known.drop_needless_due_time();
        self.ripen();
    }

    fn ripen(&mut self) {
        let due = |(key, known): (&Key, &Known)| {
            let (at, order, priority) = known.wants_later?;
            (known.running_at.is_none() && at <= self.now).then_some((at, order, *key, priority))
        };
        let mut all: Vec<_> = self.keys.iter().filter_map(due).collect();
        all.sort_unstable_by_key(|(at, order, ..)| (*at, *order));
        for (at, _, key, priority) in all {
            self.keys.entry(key).or_default().wants_later = None;
            self.add_at(key, priority, at);
        }
    }

    fn next(&mut self) -> Option<(Key, u32, u64)> {
        let first = |wanted: Priority| {
            let in_lane = |(key, known): (&Key, &Known)| {
                let (priority, order) = known.wants_now?;
                (known.running_at.is_none() && priority == wanted).then_some((order, *key))
            };
            self.keys.iter().filter_map(in_lane).min().map(|(_, key)| key)
        };
        let (low, high) = (first(Low), first(High));
        let (key, priority) = match (low, high) {
            (None, None) => return None,
            (Some(low), high) if high.is_none() || self.overtaken == HIGH_RUNS_PER_LOW => (low, Low),
            (_, Some(high)) => (high, High),
            (Some(low), None) => (low, Low),
        };
        self.overtaken = if priority == High && low.is_some() { self.overtaken + 1 } else { 0 };
        let known = self.keys.entry(key).or_default();
        (known.wants_now, known.wants_later, known.running_at) = (None, None, Some(priority));
        Some((key, known.failures + 1, self.now - known.since.expect("it was asked for")))
    }

    /// Ready, delayed, in flight.
    fn depths(&self) -> (usize, usize, usize) {
        let count = |which: fn(&Known) -> bool| self.keys.values().filter(|known| which(known)).count();
        (
            count(|known| known.running_at.is_none() && known.wants_now.is_some()),
            count(|k| k.running_at.is_none() && k.wants_now.is_none() && k.wants_later.is_some()),
            count(|known| known.running_at.is_some()),
        )
    }
}

impl Known {
    fn drop_needless_due_time(&mut self) {
        if self.running_at.is_none()
            && let Some((now, _)) = self.wants_now
        {
            self.wants_later = self.wants_later.filter(|(_, _, later)| *later > now);
        }
    }
}

/// Who is owed a run: the promise in its simplest form, without order and time.
#[derive(Default)]
struct Owed {
    by_add: BTreeSet<Key>,
    by_timer: BTreeSet<Key>,
}

async fn play(steps: Vec<Step>) {
    let queue = exact::<Key>();
    let mut model = Model::default();
    let mut owed = Owed::default();
    let mut in_flight: Vec<Work<Key>> = Vec::new();
    // Afterwards all succeed, and time passes: everything that is owed must come.
    let rest = (0..40).flat_map(|_| [Step::Next, Step::End(0, End::Done), Step::Advance(200)]);
    for step in steps.into_iter().chain(rest) {
        match step {
            Step::Add(key, priority) | Step::AddAfter(key, 0, priority) => {
                queue.add(key, priority);
                model.add(key, priority);
                owed.by_add.insert(key);
            }
            Step::AddAfter(key, delay, priority) => {
                queue.add_after(key, ms(delay), priority);
                model.add_after(key, delay, priority);
                owed.by_timer.insert(key);
            }
            Step::Next => {
                let work = take(&queue);
                let got = work.as_ref().map(|work| {
                    let asked_for = u64::try_from(work.asked_for().as_millis()).unwrap();
                    (*work.key(), work.attempt(), asked_for)
                });
                assert_eq!(got, model.next(), "the key whose turn it is, its attempt, and since when");
                let Some(work) = work else { continue };
                let key = *work.key();
                assert!(in_flight.iter().all(|other| *other.key() != key), "{key} is in flight twice");
                let (by_add, by_timer) = (owed.by_add.remove(&key), owed.by_timer.remove(&key));
                assert!(by_add || by_timer, "nobody asked for {key}");
                in_flight.push(work);
            }
            Step::End(n, end) => {
                if in_flight.is_empty() {
                    continue;
                }
                let work = in_flight.remove(n % in_flight.len());
                let key = *work.key();
                model.end(key, end);
                match end {
                    End::Done => work.done(),
                    End::RequeueAfter(delay) => work.requeue_after(ms(delay)),
                    End::Retry => work.retry(),
                    End::GiveUp => work.give_up(),
                    End::PutBack => work.put_back(),
                    End::Drop => drop(work),
                }
                match end {
                    End::Done => {}
                    End::GiveUp => drop(owed.by_timer.remove(&key)),
                    End::PutBack => drop(owed.by_add.insert(key)),
                    End::RequeueAfter(_) | End::Retry | End::Drop => drop(owed.by_timer.insert(key)),
                }
            }
            Step::Forget(key) => {
                queue.forget(&key);
                model.keys.entry(key).or_default().failures = 0;
            }
            Step::Advance(by) => {
                advance(ms(by)).await;
                model.now += by;
                model.ripen();
            }
        }
        let stats = queue.stats();
        assert_eq!((stats.ready, stats.delayed, stats.in_flight), model.depths(), "after {step:?}");
    }
    assert_eq!(model.depths(), (0, 0, 0));
    assert!(owed.by_add.is_empty() && owed.by_timer.is_empty(), "a key was lost");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(steps in prop::collection::vec(step(), 0..120)) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(play(steps));
    }
}
