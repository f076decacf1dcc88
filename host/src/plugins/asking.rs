//! What operators ask of plugins: reports, revisions, orders, and what is measured.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use wheelhouse_controller::Controller;

use super::{Account, PluginReport, Plugins, Slot, lock};
use crate::history::RevisionReport;
use crate::leader::Standing;
use crate::loader::{Order, What};
use crate::plugin_id::PluginId;

impl Plugins {
    /// Every plugin, in the order of where they are from.
    pub(crate) fn reports(&self) -> Vec<PluginReport> {
        let slots = lock(&self.inner.slots);
        let report = |(id, slot): (&PluginId, &Slot)| {
            let (phase, plugin, leader) = slot.state();
            PluginReport {
                file: id.to_string(),
                phase,
                reason: slot.problem.as_ref().map(|problem| problem.reason),
                error: slot.problem.as_ref().map(|problem| problem.message.clone()),
                plugin,
                leader,
            }
        };
        slots.iter().map(report).collect()
    }

    /// The names of those that are loaded.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.inner.claims.borrow().all().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The revisions of the plugin with this name, the newest first; none if there is no such plugin.
    pub(crate) fn revisions(&self, name: &str) -> Option<Vec<RevisionReport>> {
        let id = self.inner.claims.borrow().holder(name).cloned()?;
        lock(&self.inner.slots).get(&id).map(|slot| slot.revisions.clone())
    }

    /// Has the plugin with this name do something. What was done; none if there is no such plugin.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) async fn order(&self, name: &str, what: What) -> Option<Result<String, String>> {
        let id = self.inner.claims.borrow().holder(name).cloned()?;
        if let (PluginId::Resource { .. }, What::Pause | What::Resume) = (&id, what) {
            return Some(Err(paused_in_spec(&id, what == What::Pause)));
        }
        let orders = lock(&self.inner.slots).get(&id)?.orders.clone()?;
        let (answer, answered) = oneshot::channel();
        orders.send(Order { what, answer }).await.ok()?;
        answered.await.ok()
    }

    /// The leases that this host stands for, in the order of their names.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        if let Some(of_host) = self.inner.election.standing() {
            return vec![of_host];
        }
        let slots = lock(&self.inner.slots);
        let mut all: Vec<_> =
            slots.values().filter_map(|slot| Some(slot.candidate.as_ref()?.standing())).collect();
        all.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
        all
    }

    /// The plugins that run, or stand by.
    pub(crate) fn controllers(&self) -> Vec<Arc<Controller>> {
        lock(&self.inner.slots).values().filter_map(|slot| slot.controller.clone()).collect()
    }

    /// How many revisions of each plugin that runs were rolled back by themselves.
    pub(crate) fn rollbacks(&self) -> Vec<(String, u64)> {
        let slots = lock(&self.inner.slots);
        let of = |slot: &Slot| Some((slot.controller.as_ref()?.spec().name.clone(), slot.rollbacks));
        slots.values().filter_map(of).collect()
    }

    /// Of every plugin, whatever has become of it.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let names: HashMap<PluginId, String> =
            self.inner.claims.borrow().all().map(|(name, id)| (id.clone(), name.clone())).collect();
        let account = |(id, slot): (&PluginId, &Slot)| {
            Some(Account {
                name: names.get(id).cloned().unwrap_or_else(|| id.short()),
                runs: slot.controller.is_some(),
                usage: slot.usage.clone()?,
            })
        };
        lock(&self.inner.slots).iter().filter_map(account).collect()
    }
}

/// What to do instead of an order, which the resource would not know of.
fn paused_in_spec(id: &PluginId, paused: bool) -> String {
    let PluginId::Resource { namespace, name } = id else { return String::new() };
    let object = match namespace.as_str() {
        "" => format!("clusterplugin {name}"),
        namespace => format!("plugin -n {namespace} {name}"),
    };
    format!(
        "spec.paused of {id} says whether it is paused: kubectl patch {object} --type merge -p '{{\"spec\":{{\"paused\":{paused}}}}}'"
    )
}
