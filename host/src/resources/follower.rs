//! The task of one resource: it has the component fetched that is ordered, and looks for another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::component::{Fetcher, Looked, Unfetched};
use super::order::{Order, Pull};
use crate::plugin_id::PluginId;
use crate::preparation::Problem;
use crate::source::{Change, Component, Wanted};

/// Between two looks at a ConfigMap or a Secret.
const LOOK: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Follower {
    pub(crate) id: PluginId,
    pub(crate) fetcher: Fetcher,
    /// It is dropped when the resource is gone.
    pub(crate) orders: watch::Receiver<Arc<Order>>,
    pub(crate) changes: mpsc::Sender<Change>,
}

/// What was seen for an order.
struct Seen {
    pull: Pull,
    version: String,
    /// Whatever was good last.
    component: Option<Arc<[u8]>>,
}

impl Follower {
    /// Until the resource, or the host, has an end.
    pub(crate) async fn run(mut self) {
        let mut seen: Option<Seen> = None;
        loop {
            let order = Arc::clone(&self.orders.borrow_and_update());
            let goes_on = match &order.wanted {
                Err(problem) => {
                    self.tell(&order, Component::Missing(problem.clone())).await
                        && self.orders.changed().await.is_ok()
                }
                Ok((pull, _)) => {
                    let before = seen.take().filter(|seen| seen.pull == *pull);
                    let first = before.as_ref().and_then(|seen| seen.component.clone());
                    // Without a component, what is wrong with it is to be told anew.
                    seen = before.filter(|_| first.is_some());
                    let first = first.map_or(Component::Coming, Component::Here);
                    self.tell(&order, first).await && self.follow(&order, pull, &mut seen).await
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Looks until there is another order; whether there is.
    async fn follow(&mut self, order: &Order, pull: &Pull, seen: &mut Option<Seen>) -> bool {
        let mut told: Option<Problem> = None;
        let mut timer = tokio::time::interval(LOOK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = async {
                timer.tick().await;
                self.fetcher.look(pull, seen.as_ref().map(|seen| seen.version.as_str())).await
            };
            let looked = tokio::select! {
                changed = self.orders.changed() => return changed.is_ok(),
                looked = look => looked,
            };
            let had = seen.as_ref().and_then(|seen| seen.component.clone());
            let news = match looked {
                Ok(None) => continue,
                Ok(Some(Looked { version, component })) => {
                    let now = component.as_ref().ok().cloned();
                    *seen = Some(Seen { pull: pull.clone(), version, component: now.clone() });
                    if now.is_some() && now == had {
                        // Something else of the object has changed.
                        continue;
                    }
                    component
                }
                Err(Unfetched { problem, out_of_reach: true }) if had.is_some() => {
                    tracing::debug!(plugin = %self.id, "what was fetched before still counts: {}", problem.message);
                    continue;
                }
                Err(Unfetched { problem, .. }) => {
                    *seen = None;
                    Err(problem)
                }
            };
            if news.as_ref().err().is_some_and(|problem| told.as_ref() == Some(problem)) {
                continue;
            }
            told = news.as_ref().err().cloned();
            if !self.tell(order, news.map_or_else(Component::Missing, Component::Here)).await {
                return false;
            }
        }
    }

    /// Whether anybody listens.
    async fn tell(&self, order: &Order, component: Component) -> bool {
        self.changes.send(change(&self.id, order, component)).await.is_ok()
    }
}

/// What a resource wants, with the component as far as it is there.
pub(super) fn change(id: &PluginId, order: &Order, component: Component) -> Change {
    let config = order.wanted.as_ref().map_or_else(|_| "{}".to_owned(), |(_, config)| config.clone());
    let config_at = format!("spec.config of {id}");
    let ordered = Some(Arc::clone(&order.ordered));
    Change::Present(id.clone(), Wanted { component, config, config_at, ordered })
}
