//! The task of one resource: it has the component fetched that is ordered, and looks for another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::component::{Fetcher, Looked, News, Unfetched, Version, problem};
use super::order::{Order, Place, Pull};
use crate::binary::Binary;
use crate::plugin_id::PluginId;
use crate::preparation::Problem;
use crate::source::{Change, Component, Wanted};

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
    version: Version,
    artifact: Option<String>,
    /// Whatever was good last.
    component: Option<Binary>,
    /// It was seen by the host before, and is not known to be there yet.
    recalled: bool,
    /// Why it is not known whether it is there still.
    stale: Option<Problem>,
}

impl Seen {
    fn new(pull: &Pull, looked: &Looked) -> Self {
        let Looked { version, artifact, component } = looked;
        Self {
            pull: pull.clone(),
            version: version.clone(),
            artifact: artifact.clone(),
            component: component.as_ref().ok().cloned(),
            recalled: false,
            stale: None,
        }
    }

    /// Whether it is what an order wants, however that has it fetched.
    fn serves(&self, pull: &Pull) -> bool {
        let of = |component: &Binary| pull.digest.is_none_or(|digest| *component.digest() == digest);
        self.pull.place == pull.place && self.component.as_ref().is_some_and(of)
    }

    fn told(&self) -> Option<Component> {
        let component = self.component.clone()?;
        Some(if self.recalled { Component::Recalled(component) } else { Component::Here(component) })
    }
}

impl Follower {
    /// Until the resource, or the host, has an end.
    pub(crate) async fn run(mut self) {
        let mut seen: Option<Seen> = None;
        loop {
            let order = Arc::clone(&self.orders.borrow_and_update());
            if order.ordered.unconfirmed {
                self.guess(&order).await;
                if self.orders.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let goes_on = match &order.wanted {
                Err(problem) => {
                    self.tell(&order, Component::Missing(problem.clone()), None, None).await
                        && self.remembers(&order).await
                        && self.orders.changed().await.is_ok()
                }
                Ok((pull, _)) => {
                    // Without a component, what is wrong with it is to be told anew.
                    seen = seen.take().filter(|seen| seen.serves(pull));
                    if seen.is_none() && matches!(pull.place, Place::Artifact { .. }) {
                        seen = self.recall(&order, pull).await;
                    }
                    if let Some(seen) = &mut seen {
                        // Where nobody looks any more, that is over.
                        seen.stale = seen.stale.take().filter(|_| self.fetcher.again(pull).is_some());
                    }
                    self.tell_of(&order, seen.as_ref()).await
                        && self.remembers(&order).await
                        && self.follow(&order, pull, &mut seen).await
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Keeps what the resource says for the next start: once it is told, as a disk may be slow.
    async fn remembers(&self, order: &Order) -> bool {
        self.fetcher.remember(&self.id, order).await;
        true
    }

    /// Tells what was good last, as nothing is fetched for what may not be wanted any more.
    async fn guess(&self, order: &Order) {
        let (seen, problem) = match &order.wanted {
            Err(problem) => (None, problem.clone()),
            Ok((pull, _)) => {
                let message = format!("{} cannot be looked at before the cluster can be reached", pull.place);
                (self.recall(order, pull).await, problem("Unreachable", message))
            }
        };
        match &seen {
            Some(_) => self.tell_of(order, seen.as_ref()).await,
            None => self.tell(order, Component::Missing(problem), None, None).await,
        };
    }

    /// What was good last, before this host began.
    async fn recall(&self, order: &Order, pull: &Pull) -> Option<Seen> {
        let looked = self.fetcher.recall(&self.id, &order.ordered.uid, pull).await?;
        // Where nothing else can be there by now, it is as good as seen.
        let recalled = self.fetcher.again(pull).is_some();
        Some(Seen { recalled, ..Seen::new(pull, &looked) }).filter(|seen| seen.component.is_some())
    }

    /// Looks until there is another order; whether there is.
    async fn follow(&mut self, order: &Order, pull: &Pull, seen: &mut Option<Seen>) -> bool {
        let mut told = seen.as_ref().and_then(|seen| seen.stale.clone());
        let mut failures = 0_u32;
        // At once, unless it is there and cannot be another.
        let mut wait = match seen {
            None => Some(Duration::ZERO),
            Some(_) => self.fetcher.again(pull).map(|_| Duration::ZERO),
        };
        loop {
            let look = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
                self.fetcher.look(&self.id, pull, seen.as_ref().map(|seen| &seen.version)).await
            };
            let looked = tokio::select! {
                changed = self.orders.changed() => return changed.is_ok(),
                looked = look => looked,
            };
            (failures, wait) = match &looked {
                Ok(_) => (0, self.fetcher.again(pull)),
                Err(failed) => {
                    let failures = failures.saturating_add(1);
                    (failures, Some(self.fetcher.retry(pull, failures, failed)))
                }
            };
            let had = seen.as_ref().and_then(|seen| seen.component.clone());
            // What was told of it is over.
            let is_back = looked.is_ok() && told.take().is_some();
            if let Some(seen) = seen.as_mut().filter(|_| is_back) {
                seen.stale = None;
            }
            let news = match looked {
                Ok(News::Nothing) => match (seen.as_mut(), had) {
                    (Some(seen), Some(had)) if seen.recalled || is_back => {
                        seen.recalled = false;
                        Ok(had)
                    }
                    _ => continue,
                },
                Ok(News::Same(version, artifact)) => {
                    let (Some(seen), Some(had)) = (seen.as_mut(), had) else { continue };
                    (seen.version, seen.artifact, seen.recalled) = (version, artifact, false);
                    Ok(had)
                }
                Ok(News::Looked(looked)) => {
                    let recalled = seen.as_ref().is_some_and(|seen| seen.recalled);
                    let now = seen.insert(Seen::new(pull, &looked));
                    if !recalled && now.component.is_some() && now.component == had {
                        // Something else of the object has changed. The one that was there is compiled by now.
                        now.component = had.clone();
                        match had {
                            Some(had) if is_back => Ok(had),
                            _ => continue,
                        }
                    } else {
                        self.fetcher.keep(&self.id, &order.ordered, pull, &looked).await;
                        looked.component
                    }
                }
                Err(Unfetched { problem, out_of_reach: true, .. }) if had.is_some() => {
                    if told.as_ref() == Some(&problem) {
                        continue;
                    }
                    tracing::warn!(plugin = %self.id, "what was fetched before still counts: {}", problem.message);
                    told = Some(problem.clone());
                    if let Some(seen) = seen.as_mut() {
                        seen.stale = Some(problem);
                    }
                    if !self.tell_of(order, seen.as_ref()).await {
                        return false;
                    }
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
            let artifact = seen.as_ref().and_then(|seen| seen.artifact.clone());
            let component = news.map_or_else(Component::Missing, Component::Here);
            if !self.tell(order, component, artifact, None).await {
                return false;
            }
        }
    }

    /// What was seen, as far as there is anything. Whether anybody listens.
    async fn tell_of(&self, order: &Order, seen: Option<&Seen>) -> bool {
        let component = seen.and_then(Seen::told).unwrap_or(Component::Coming);
        let (artifact, stale) = seen.map_or((None, None), |seen| (seen.artifact.clone(), seen.stale.clone()));
        self.tell(order, component, artifact, stale).await
    }

    /// Whether anybody listens.
    async fn tell(
        &self,
        order: &Order,
        component: Component,
        artifact: Option<String>,
        stale: Option<Problem>,
    ) -> bool {
        let change = match change(&self.id, order, component, artifact) {
            Change::Present(id, wanted) => Change::Present(id, Wanted { stale, ..wanted }),
            other => other,
        };
        self.changes.send(change).await.is_ok()
    }
}

/// What a resource wants, with the component as far as it is there.
pub(super) fn change(id: &PluginId, order: &Order, component: Component, artifact: Option<String>) -> Change {
    let config = order.wanted.as_ref().map_or_else(|_| "{}".to_owned(), |(_, config)| config.clone());
    let config_at = format!("spec.config of {id}");
    let ordered = Some(Arc::clone(&order.ordered));
    Change::Present(id.clone(), Wanted { component, stale: None, artifact, config, config_at, ordered })
}
