use super::*;

#[test]
fn nothing_is_kept_of_a_key_that_succeeded() {
    let now = Instant::now();
    let mut state = State::new(BackoffPolicy::default());
    for key in 0..100 {
        state.add(key, Priority::High, now);
        state.add_after(key, Duration::from_secs(1), Priority::High, now);
        state.forget(&(key + 1_000), now);
    }
    for outcome in [Outcome::Retry, Outcome::GiveUp, Outcome::Done] {
        for key in 0..100 {
            state.add(key, Priority::Low, now);
            let taken = state.take(now, SystemTime::now()).expect("it was added");
            state.settle(&taken, outcome, now);
        }
    }
    assert!(state.entries.is_empty() && state.index.timers.is_empty());
    assert_eq!((state.index.lanes.len(), state.index.in_both, state.in_flight.len()), (0, 0, 0));
}

#[test]
fn forget_frees_a_key_that_was_given_up() {
    let now = Instant::now();
    let mut state = State::new(BackoffPolicy::default());
    for outcome in [Outcome::Retry, Outcome::GiveUp] {
        state.add("a", Priority::High, now);
        let taken = state.take(now, SystemTime::now()).expect("it was added");
        state.settle(&taken, outcome, now);
    }
    assert_eq!(state.entries.len(), 1, "its failures are remembered");
    state.forget(&"a", now);
    assert!(state.entries.is_empty());
}

#[test]
fn what_is_cleared_begins_anew_and_what_runs_goes_on() {
    let now = Instant::now();
    let mut state = State::new(BackoffPolicy::default());
    state.add("fails", Priority::High, now);
    let taken = state.take(now, SystemTime::now()).expect("it was added");
    state.settle(&taken, Outcome::Retry, now);
    state.add("runs", Priority::High, now);
    let running = state.take(now, SystemTime::now()).expect("it was added");
    state.add("runs", Priority::High, now);
    state.add("waits", Priority::Low, now);
    state.add_after("later", Duration::from_secs(9), Priority::High, now);

    drop(state.clear());
    let later = now + Duration::from_secs(3_600);
    let stats = state.stats(later);
    assert_eq!((stats.ready, stats.delayed, stats.in_flight), (0, 0, 1));
    assert!(state.take(later, SystemTime::now()).is_none());
    state.add("runs", Priority::High, later);
    assert!(state.take(later, SystemTime::now()).is_none(), "it is in flight yet");
    state.settle(&running, Outcome::Done, later);
    let again = state.take(later, SystemTime::now()).expect("it was asked for during its run");
    assert_eq!(again.key, "runs");
    state.add("fails", Priority::High, later);
    let taken = state.take(later, SystemTime::now()).expect("it was added");
    assert_eq!((taken.key, taken.failures), ("fails", 0), "its failures are forgotten");
}
