//! Breaks in what takes long: many objects are looked at, on a thread that all plugins share. The call that
//! waits for it is measured from break to break, and others go on meanwhile.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

/// How much is done between two looks at the clock. To look at one condition on one object counts as one.
const LOOKS: usize = 64;
/// For how long it is done without a break.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What it counts as to cut an object to some of its fields.
pub(crate) const PROJECTION: usize = 16;

/// And to decode one.
pub(crate) const DECODING: usize = 64;

/// Does something with one after another, until it breaks; each counts as so much work. What is little is
/// done without a look at the clock.
pub(crate) async fn in_turns<T>(
    items: impl IntoIterator<Item = T>,
    work: usize,
    mut each: impl FnMut(T) -> ControlFlow<()>,
) {
    let at_once = LOOKS.checked_div(work).unwrap_or(LOOKS).max(1);
    let mut items = items.into_iter();
    let mut begun: Option<Instant> = None;
    loop {
        for _ in 0..at_once {
            let Some(item) = items.next() else { return };
            if each(item).is_break() {
                return;
            }
        }
        if begun.is_some_and(|begun| begun.elapsed() < AT_ONCE) {
            continue;
        }
        if begun.is_some() {
            tokio::task::yield_now().await;
        }
        begun = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_little_is_done_at_once() {
        let mut sum = 0;
        let adding = in_turns(1..=3, 1, |number| {
            sum += number;
            ControlFlow::Continue(())
        });
        assert_eq!(adding.now_or_never(), Some(()));
        let until_two = in_turns(1.., 1, |number| {
            sum += number;
            if number == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((until_two.now_or_never(), sum), (Some(()), 9));
    }

    #[tokio::test]
    async fn hostile_the_more_each_of_them_takes_the_sooner_there_is_a_break() {
        let turns = Arc::new(AtomicUsize::new(0));
        let neighbour = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        for (work, least) in [(1, 1), (LOOKS / 2, 60), (LOOKS, 120), (usize::MAX, 120)] {
            turns.store(0, Ordering::Relaxed);
            in_turns(0..=2 * LOOKS, work, |_| {
                let begun = Instant::now();
                while begun.elapsed() < AT_ONCE {}
                ControlFlow::Continue(())
            })
            .await;
            let turns = turns.load(Ordering::Relaxed);
            assert!(turns >= least && turns <= 2 * LOOKS, "{work}: {turns} turns");
        }
        neighbour.abort();
    }
}
