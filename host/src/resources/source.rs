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
        let followers = Followers { fetcher: self.fetcher, changes, known: HashMap::new() };
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
}

/// The kind of a plugin's resource: in a namespace, or not.
pub(crate) fn kind(namespaced: bool) -> Kind {
    Kind::new(GROUP, VERSION, if namespaced { "Plugin" } else { "ClusterPlugin" })
}

impl Followers {
    /// Until nobody listens.
    async fn follow(mut self, informers: InformerFactory) {
        let kinds = [kind(false), kind(true)];
        let absent = absent(&informers, &kinds).await;
        let [cluster, namespaced] = &kinds;
        let mut cluster = informers.informer_when_served(cluster).await.subscribe();
        let mut namespaced = informers.informer_when_served(namespaced).await.subscribe();
        let initial = initial(absent, [&cluster, &namespaced]);
        tokio::pin!(initial);
        let mut told = false;
        loop {
            let goes_on = tokio::select! {
                // What was there at first is told of before that it was all.
                biased;
                () = self.changes.closed() => break,
                delta = cluster.next() => self.take(delta).await,
                delta = namespaced.next() => self.take(delta).await,
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
        if before.as_ref().is_some_and(|before| before.generation == generation && before.told == told) {
            return true;
        }
        let order = Arc::new(order::read(&id, object, before.as_deref()));
        if let Some(known) = self.known.get(&id) {
            known.orders.send_replace(order);
            return true;
        }
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

/// Whether the cluster does not serve both kinds yet, which is said.
async fn absent(informers: &InformerFactory, kinds: &[Kind]) -> bool {
    for kind in kinds {
        if let Err(CacheError::UnknownKind { .. }) = informers.resources().resolve(kind).await {
            tracing::info!(
                "the cluster has no {kind} yet: `wheelhouse crds | kubectl apply -f -` installs it, and this host will notice"
            );
            return true;
        }
    }
    false
}

/// Waits for what is there at first, if there can be anything, and not for ever.
fn initial(absent: bool, subscriptions: [&Subscription; 2]) -> impl Future<Output = ()> + use<> {
    let mut progress = subscriptions.map(Subscription::progress);
    async move {
        if absent {
            return;
        }
        let all = async {
            for one in &mut progress {
                one.wait_initial_done().await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(
                "Plugin and ClusterPlugin resources cannot be listed within {PATIENCE:?}; those that come later will be run"
            );
        }
    }
}
