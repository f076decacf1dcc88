//! Whether a plugin is at work, and what it is told to be at.

use tokio::sync::watch;

use crate::prepare::Prepared;
use crate::revision::Running;

/// Where a plugin stands.
pub(crate) enum Turn {
    /// It can be set to work at once: its caches are filled.
    StandingBy(Box<Prepared>),
    Running(Box<Running>),
    /// It has ended, or is being ended or switched.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    StandBy,
    Work,
    /// What has begun may end.
    End,
    /// What has begun may not: it is to stop as if the plugin stood by.
    EndAtOnce,
}

/// What a plugin is to be at.
#[derive(Clone, Copy, Debug)]
struct State {
    order: Order,
    /// Its operator wants it to begin nothing, whatever the order.
    paused: bool,
}

impl State {
    fn works(self) -> bool {
        self.order == Order::Work && !self.paused
    }
}

/// The newest order, for whoever is at the previous one.
pub(crate) struct Orders(watch::Sender<State>);

impl Default for Orders {
    fn default() -> Self {
        Self(watch::Sender::new(State { order: Order::StandBy, paused: false }))
    }
}

impl Orders {
    /// Whether that is an order that can be followed, and is to be now: it is not, once the end was ordered,
    /// nor as long as the plugin is paused.
    pub(crate) fn work(&self) -> bool {
        let mut follow = false;
        self.0.send_if_modified(|state| {
            let stands_by = state.order == Order::StandBy;
            if stands_by {
                state.order = Order::Work;
            }
            follow = stands_by && !state.paused;
            stands_by
        });
        follow
    }

    pub(crate) fn stand_by(&self) {
        self.0.send_modify(|state| {
            state.order = match state.order {
                Order::StandBy | Order::Work => Order::StandBy,
                Order::End | Order::EndAtOnce => Order::EndAtOnce,
            };
        });
    }

    pub(crate) fn end(&self) {
        self.0.send_modify(|state| {
            state.order = match state.order {
                Order::Work | Order::End => Order::End,
                // Whatever runs yet is being stopped.
                Order::StandBy | Order::EndAtOnce => Order::EndAtOnce,
            };
        });
    }

    /// Pauses, or goes on with what was ordered. Whether that changes anything.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.paused, paused) != paused)
    }

    /// Whether it is paused.
    pub(crate) fn paused(&self) -> bool {
        self.0.borrow().paused
    }

    /// Whether there is work to be done now.
    pub(crate) fn works(&self) -> bool {
        self.0.borrow().works()
    }

    /// Resolves when nothing is to begin any more.
    pub(crate) async fn no_work(&self) {
        // The sender is here, so this waits.
        let _ = self.0.subscribe().wait_for(|state| !state.works()).await;
    }

    /// Resolves when what has begun may not end in peace.
    pub(crate) async fn cut(&self) {
        let cut = |state: &State| matches!(state.order, Order::StandBy | Order::EndAtOnce);
        let _ = self.0.subscribe().wait_for(cut).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn an_end_is_in_peace_until_the_lease_is_lost_and_nothing_works_after_it() {
        let orders = Orders::default();
        assert!(orders.work() && orders.no_work().now_or_never().is_none());
        orders.end();
        assert!(orders.no_work().now_or_never().is_some(), "what was about to begin does not");
        assert!(orders.cut().now_or_never().is_none());
        orders.stand_by();
        assert!(orders.cut().now_or_never().is_some());
        assert!(!orders.work());
        orders.end();
        assert!(orders.cut().now_or_never().is_some(), "the loss is not forgotten");
    }

    #[test]
    fn one_that_stands_by_can_work_again() {
        let orders = Orders::default();
        assert!(orders.work());
        orders.stand_by();
        assert!(orders.cut().now_or_never().is_some());
        assert!(orders.work() && orders.cut().now_or_never().is_none());
    }

    #[test]
    fn a_pause_lets_end_what_has_begun_and_outlives_the_loss_of_a_lease() {
        let orders = Orders::default();
        assert!(orders.work());
        assert!(orders.pause(true) && !orders.pause(true));
        assert!(orders.no_work().now_or_never().is_some());
        assert!(orders.cut().now_or_never().is_none(), "it may end in peace");
        orders.stand_by();
        assert!(!orders.work(), "the lease is back, the pause is not over");
        assert!(!orders.works());
        assert!(orders.pause(false) && orders.works());
        orders.end();
        assert!(!orders.works());
    }
}
