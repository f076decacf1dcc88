//! Which resources there are, and what changes of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wheelhouse_cache::{CacheError, Delta, InformerFactory, Rest, Subscription};
use wheelhouse_core::access::BoxFuture;
use wheelhouse_core::{Kind, Object};

use super::component::{Fetcher, Fetching};
use super::follower::{self, Follower};
use super::order::{self, Order};
use super::{GROUP, VERSION};
use crate::plugin_id::PluginId;
use crate::source::{Change, Component, Source};

/// How long the first list may take before the host goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// And before what the resources said last is made ready meanwhile.
const SOON: Duration = Duration::from_millis(200);

/// The resources of a cluster.
pub(crate) struct Resources {
    informers: InformerFactory,
    fetcher: Fetcher,
}

impl Resources {
    /// `informers` are of the same cluster.
    pub(crate) fn new(informers: InformerFactory, rest: Rest, fetching: Fetching) -> Self {
        Self { informers, fetcher: Fetcher::new(rest, fetching) }
    }
}

impl Source for Resources {
    fn tell(self: Box<Self>, changes: mpsc::Sender<Change>) -> BoxFuture<'static, ()> {
        let (known, remembered) = (HashMap::new(), Vec::new());
        let followers = Followers { fetcher: self.fetcher, changes, known, remembered };
        Box::pin(followers.follow(self.informers))
    }
}

/// A resource that is there.
struct Known {
    orders: watch::Sender<Arc<Order>>,
    task: JoinHandle<()>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Followers {
    fetcher: Fetcher,
    changes: mpsc::Sender<Change>,
    known: HashMap<PluginId, Known>,
    /// The resources, by their UIDs, that the cluster had when a host saw it last, and has not told of since.
    remembered: Vec<(PluginId, String)>,
}

/// Whether the cluster serves both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Served,
    Absent,
    /// It does not answer.
    Unknown,
}

/// The kind of a plugin's resource: in a namespace, or not.
pub(crate) fn kind(namespaced: bool) -> Kind {
    Kind::new(GROUP, VERSION, if namespaced { "Plugin" } else { "ClusterPlugin" })
}

impl Followers {
    /// Until nobody listens.
    async fn follow(mut self, informers: InformerFactory) {
        let kinds = [kind(false), kind(true)];
        let Some(presence) = self.remember(presence(&informers, &kinds)).await else { return };
        let [cluster, namespaced] = &kinds;
        let mut cluster = informers.informer_when_served(cluster).await.subscribe();
        let mut namespaced = informers.informer_when_served(namespaced).await.subscribe();
        let initial = initial(presence, [&cluster, &namespaced]);
        let (of_cluster, of_namespaces) = (listed(&cluster), listed(&namespaced));
        tokio::pin!(initial, of_cluster, of_namespaces);
        let (mut told, mut of_cluster_told, mut of_namespaces_told) = (false, false, false);
        loop {
            let goes_on = tokio::select! {
                // What was there at first is told of before that it was all.
                biased;
                () = self.changes.closed() => break,
                delta = cluster.next() => self.take(delta).await,
                delta = namespaced.next() => self.take(delta).await,
                all = &mut of_cluster, if !of_cluster_told => {
                    of_cluster_told = true;
                    !all || self.is_listed(false).await
                }
                all = &mut of_namespaces, if !of_namespaces_told => {
                    of_namespaces_told = true;
                    !all || self.is_listed(true).await
                }
                () = &mut initial, if !told => {
                    told = true;
                    self.changes.send(Change::InitialDone).await.is_ok()
                }
            };
            if !goes_on {
                break;
            }
        }
    }

    /// Has what the resources said last made ready if the cluster does not answer soon. What it answers, in the end;
    /// none if nobody listens.
    async fn remember(&mut self, presence: impl Future<Output = Presence>) -> Option<Presence> {
        tokio::pin!(presence);
        let soon = tokio::time::timeout(SOON, &mut presence).await;
        let all = self.fetcher.remembered().await;
        self.remembered = all.iter().map(|(id, object)| (id.clone(), object.uid().to_owned())).collect();
        if matches!(soon, Err(_) | Ok(Presence::Unknown)) {
            if !all.is_empty() {
                tracing::info!(
                    plugins = all.len(),
                    "the cluster does not answer: the plugins of its resources are made ready as they were when it was seen last, and what is still so runs once it does"
                );
            }
            for (id, object) in all {
                let order = Arc::new(order::guess(&id, &object));
                if !self.begin(id, order).await {
                    return None;
                }
            }
        }
        Some(match soon {
            Ok(presence) => presence,
            Err(_) => presence.await,
        })
    }

    /// All of a kind has been told of: what was remembered beyond that is gone. Whether anybody listens.
    async fn is_listed(&mut self, namespaced: bool) -> bool {
        let of_kind = |id: &PluginId| id.namespace().is_some() == namespaced;
        let remembered: Vec<_> = self.remembered.extract_if(.., |(id, _)| of_kind(id)).collect();
        for (id, uid) in remembered {
            let ordered = self.known.get(&id).map(|known| Arc::clone(&known.orders.borrow().ordered));
            let goes_on = match ordered {
                Some(ordered) if ordered.unconfirmed => self.is_gone(id).await,
                Some(ordered) if ordered.uid == uid => true,
                _ => {
                    self.fetcher.forget(&id, &uid);
                    true
                }
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// Whether anybody listens.
    async fn take(&mut self, Delta { key, new, .. }: Delta) -> bool {
        let id = PluginId::Resource { namespace: key.namespace, name: key.name };
        match new.filter(|object| !is_deleted(object)) {
            Some(object) => self.is_there(id, &object).await,
            None => self.is_gone(id).await,
        }
    }

    async fn is_there(&mut self, id: PluginId, object: &Object) -> bool {
        let before = self.known.get(&id).map(|known| Arc::clone(&known.orders.borrow().ordered));
        let before = match before {
            // Another one has the name by now.
            Some(before) if before.uid != object.uid() => {
                if !self.is_gone(id.clone()).await {
                    return false;
                }
                None
            }
            before => before,
        };
        let (generation, told) = (order::generation(object), order::told(object));
        let before = before.filter(|before| !before.unconfirmed);
        if before.as_ref().is_some_and(|before| before.generation == generation && before.told == told) {
            return true;
        }
        let order = Arc::new(order::read(&id, object, before.as_deref()));
        if let Some(known) = self.known.get(&id) {
            known.orders.send_replace(order);
            return true;
        }
        self.begin(id, order).await
    }

    /// Whether anybody listens.
    async fn begin(&mut self, id: PluginId, order: Arc<Order>) -> bool {
        // All that are there at first are known of before any of them is fetched.
        let change = follower::change(&id, &order, Component::Coming, None);
        if self.changes.send(change).await.is_err() {
            return false;
        }
        let (orders, ordered) = watch::channel(order);
        let (fetcher, changes) = (self.fetcher.clone(), self.changes.clone());
        let follower = Follower { id: id.clone(), fetcher, orders: ordered, changes };
        let task = tokio::spawn(follower.run());
        self.known.insert(id, Known { orders, task });
        true
    }

    async fn is_gone(&mut self, id: PluginId) -> bool {
        let Some(mut known) = self.known.remove(&id) else { return true };
        let uid = known.orders.borrow().ordered.uid.clone();
        known.task.abort();
        // It tells nothing after this.
        let _ = (&mut known.task).await;
        self.fetcher.forget(&id, &uid);
        self.changes.send(Change::Gone(id)).await.is_ok()
    }
}

/// It is on its way out: whatever holds it back, its plugin ends.
pub(super) fn is_deleted(object: &Object) -> bool {
    object.value().at(&["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null())
}

/// Whether the cluster serves both kinds. That it does not yet is said.
async fn presence(informers: &InformerFactory, kinds: &[Kind]) -> Presence {
    for kind in kinds {
        match informers.resources().resolve(kind).await {
            Ok(_) => {}
            Err(CacheError::UnknownKind { .. }) => {
                tracing::info!(
                    "the cluster has no {kind} yet: `wheelhouse crds | kubectl apply -f -` installs it, and this host will notice"
                );
                return Presence::Absent;
            }
            Err(_) => return Presence::Unknown,
        }
    }
    Presence::Served
}

/// Whether all that was there at first has been told of.
fn listed(subscription: &Subscription) -> impl Future<Output = bool> + use<> {
    let mut progress = subscription.progress();
    async move { progress.wait_initial_done().await }
}

/// Waits for what is there at first, if there can be anything, and not for ever.
fn initial(presence: Presence, subscriptions: [&Subscription; 2]) -> impl Future<Output = ()> + use<> {
    let all = subscriptions.map(listed);
    async move {
        if presence == Presence::Absent {
            return;
        }
        let all = async {
            for one in all {
                one.await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                "Plugin and ClusterPlugin resources cannot be listed within {PATIENCE:?}; those that come later will be run"
            );
        }
    }
}
