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

/// The newest order, for whoever is at the previous one.
pub(crate) struct Orders(watch::Sender<Order>);

impl Default for Orders {
    fn default() -> Self {
        Self(watch::Sender::new(Order::StandBy))
    }
}

impl Orders {
    /// Whether that is an order that can be followed: it is not, once the end was ordered.
    pub(crate) fn work(&self) -> bool {
        self.0.send_if_modified(|order| {
            let stands_by = *order == Order::StandBy;
            if stands_by {
                *order = Order::Work;
            }
            stands_by
        })
    }

    pub(crate) fn stand_by(&self) {
        self.0.send_modify(|order| {
            *order = match *order {
                Order::StandBy | Order::Work => Order::StandBy,
                Order::End | Order::EndAtOnce => Order::EndAtOnce,
            };
        });
    }

    pub(crate) fn end(&self) {
        self.0.send_modify(|order| {
            *order = match *order {
                Order::Work | Order::End => Order::End,
                // Whatever runs yet is being stopped.
                Order::StandBy | Order::EndAtOnce => Order::EndAtOnce,
            };
        });
    }

    /// Resolves when there is to be no work any more.
    pub(crate) async fn no_work(&self) {
        // The sender is here, so this waits.
        let _ = self.0.subscribe().wait_for(|order| *order != Order::Work).await;
    }

    /// Resolves when what has begun may not end in peace.
    pub(crate) async fn cut(&self) {
        let cut = |order: &Order| matches!(order, Order::StandBy | Order::EndAtOnce);
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
}
