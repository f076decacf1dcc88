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
