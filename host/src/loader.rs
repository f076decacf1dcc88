//! The task of one plugin: from what its source wants to what runs, through its revisions, to its end.
//!
//! A revision is prepared beside the one that runs, and whatever comes meanwhile is dealt with at once: another
//! content makes an end of preparing the one before. A switch that has begun is finished. The new revision is on
//! probation then: one that does worse than the one before it is rolled back, and is not tried again until its
//! component or its configuration changes.

mod going_on;
mod granting;
mod next;
mod orders;
mod preparing;
mod proving;
mod switching;
mod want;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use wheelhouse_controller::{Controller, Record, Shared};
use wheelhouse_core::limits::Limits;

use self::going_on::{DeadEnd, Failed, Renewed};
pub(crate) use self::orders::{Order, What};
use self::preparing::{News, Preparing};
use self::proving::Trial;

use crate::claims::Claims;
use crate::grants::Grants;
use crate::history::{History, State};
use crate::leader::{Driven, Election};
use crate::plugin_id::PluginId;
use crate::plugins::Plugins;
use crate::preparation::{Content, From, Mark, Preparation, Problem, Ready, Recipe, Unready};
use crate::source::{Told, Wanted};

/// How often a revision on probation is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What had to wait, a way back or what ran last, is tried again after so long if what is tried instead waits as well.
const STUCK: Duration = Duration::from_secs(60);

/// Why what another host has rolled back goes here.
const ELSEWHERE: &str = "by the host that had it run";

/// See the module.
pub(crate) struct Loader {
    plugins: Plugins,
    id: PluginId,
    shared: Shared,
    wanted: watch::Receiver<Option<Wanted>>,
    /// For those who have orders.
    door: mpsc::Sender<Order>,
    orders: mpsc::Receiver<Order>,
    /// The last that it has heard of are upheld.
    grants: watch::Receiver<Arc<Grants>>,
    /// Likewise.
    claims: watch::Receiver<Claims>,
    /// What its source wants, if it is there.
    content: Option<Content>,
    /// The resource that it is of.
    uid: Option<String>,
    /// What has it work while its lease is held.
    driven: Option<Driven>,
    preparing: Preparing,
    history: History<Recipe>,
    trial: Option<Trial>,
    /// Whether what runs counts as good from now on, or is not to be noted at all.
    proved: bool,
    /// What was rolled back.
    rejected: Option<Mark>,
    /// What was rolled back before this host began, and is run as long as nothing better is known.
    tolerated: Option<Mark>,
    /// What its source wants is what it wanted when a host looked last, and may be another by now.
    recalled: bool,
    /// Its resource is as a host saw it last, and may be another by now.
    unconfirmed: bool,
    /// What its source wants, if it cannot be loaded.
    failed: Option<Failed>,
    /// Ways back that were tried.
    dead_ends: Vec<DeadEnd>,
    /// Why what is tolerated was rolled back.
    no_way_back: Option<String>,
    /// Why its source has nothing to want, if that is so.
    lacks: Option<Problem>,
    /// Since when the way back that was begun last has had to wait for the cluster, or for a grant.
    stuck: Option<Instant>,
    /// What ran last has been tried under these terms.
    renewed: Option<Renewed>,
    /// What is on record of it.
    told: Told,
    paused: bool,
    /// Whether the cluster has been told what runs.
    said: bool,
    /// The plugins that other hosts run, and with which it shares its kind, as was told.
    sharing_elsewhere: Vec<String>,
}

impl Loader {
    pub(crate) fn new(
        plugins: Plugins,
        id: PluginId,
        wanted: watch::Receiver<Option<Wanted>>,
        door: mpsc::Sender<Order>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let shared = Shared::new(&plugins.runtime().limits, plugins.inner.election.fence());
        let (grants, claims) = (plugins.inner.grants.clone(), plugins.inner.claims.subscribe());
        let history = History::new(plugins.inner.settings.revision_history_limit);
        Self {
            plugins,
            id,
            shared,
            wanted,
            door,
            orders,
            grants,
            claims,
            content: None,
            uid: None,
            driven: None,
            preparing: Preparing::default(),
            history,
            trial: None,
            proved: true,
            rejected: None,
            tolerated: None,
            recalled: false,
            unconfirmed: false,
            failed: None,
            dead_ends: Vec::new(),
            no_way_back: None,
            lacks: None,
            stuck: None,
            renewed: None,
            told: Told::default(),
            paused: false,
            said: true,
            sharing_elsewhere: Vec::new(),
        }
    }

    /// Until its source, or the host, has an end.
    pub(crate) async fn run(mut self) {
        self.wanted.mark_changed();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = self.wanted.changed() => match changed {
                    Ok(()) if self.want().await => {}
                    Ok(()) => return,
                    Err(_) => break,
                },
                Some(order) = self.orders.recv() => self.obey(order).await,
                Ok(()) = self.grants.changed() => drop(self.grants_changed().await),
                Ok(()) = self.claims.changed() => self.claims_changed().await,
                news = self.preparing.news() => match news {
                    News::Waits => {
                        if self.goes_back() {
                            self.stuck.get_or_insert_with(Instant::now);
                        }
                        if let Some(From::Again(recipe, _)) = self.preparing.under_way() {
                            let terms = self.plugins.terms(&self.id, recipe.compiled.digest());
                            self.renewed = Some(Renewed { terms, at: Instant::now() });
                        }
                        self.go_on(ELSEWHERE).await;
                    }
                    News::Ended(from, ended) => self.ended(from, ended).await,
                },
                _ = look.tick(), if self.looks() => {
                    if self.trial.is_some() || !self.proved {
                        self.judge().await;
                    }
                    if self.has_waited() {
                        self.go_on(ELSEWHERE).await;
                    }
                }
                () = works(self.driven.as_ref()), if !self.said => self.begins().await,
            }
        }
        self.stop().await;
    }

    /// A preparation has come to its end; none if it said nothing.
    async fn ended(&mut self, from: From, ended: Option<Result<Box<Ready>, Unready>>) {
        match ended {
            Some(Ok(ready)) => self.take_over(from, *ready).await,
            Some(Err(why)) => self.came_to_nothing(from, why).await,
            None => {
                let terms = Box::new(self.plugins.terms(&self.id, &from.digest()));
                self.came_to_nothing(from, Unready { problem: Problem::unknown(), terms }).await;
            }
        }
    }

    /// Whether there is something to look at.
    fn looks(&self) -> bool {
        self.trial.is_some() || !self.proved || self.stuck.is_some() || self.renewed.is_some()
    }

    /// Whether what had to wait, and made room for what waits as well, is to be tried again.
    fn has_waited(&mut self) -> bool {
        let is_over = |since: Instant| since.elapsed() > STUCK;
        if self.waits_for_it() {
            let stuck = self.stuck.take_if(|since| is_over(*since)).is_some();
            self.renewed.take_if(|renewed| is_over(renewed.at)).is_some() || stuck
        } else {
            // A way back made room for the terms of what runs, and for nothing else.
            let waits = self.goes_back() && self.preparing.waits();
            waits && self.renewed.take_if(|renewed| is_over(renewed.at)).is_some()
        }
    }

    fn prepare(&mut self, from: From) {
        if matches!(from, From::Back(..) | From::Good(_)) {
            self.stuck = None;
        }
        let preparation = Preparation {
            plugins: self.plugins.clone(),
            id: self.id.clone(),
            shared: self.shared.clone(),
            grants: self.grants.clone(),
            waits: watch::Sender::new(false),
        };
        self.preparing.start(preparation, from);
    }

    /// Of what its source wants.
    fn limits(&self) -> Option<Limits> {
        self.limits_of(&self.content.as_ref()?.mark().digest)
    }

    /// Of a component, if there are any.
    fn limits_of(&self, digest: &str) -> Option<Limits> {
        self.plugins.terms(&self.id, digest).ok().map(|terms| terms.limits)
    }

    /// Whether what ran last runs, under the terms that there are now.
    fn is_up_to_date(&self) -> bool {
        let limits = |it: &Arc<Controller>| {
            self.plugins.terms(&self.id, &it.digest()).is_ok_and(|terms| terms.limits == it.limits())
        };
        self.controller().is_some_and(|controller| limits(&controller))
    }

    fn controller(&self) -> Option<Arc<Controller>> {
        self.plugins.controller(&self.id)
    }

    /// Whether this host has it run, and nobody knows better.
    fn leads(&self) -> bool {
        match (&self.plugins.inner.election, &self.driven) {
            (Election::Off, _) => true,
            (Election::PerHost(candidate), _) => candidate.standing().leads,
            (Election::PerPlugin(_), driven) => {
                driven.as_ref().is_some_and(|driven| driven.candidate.standing().leads)
            }
        }
    }

    /// It is at work from now on.
    async fn begins(&mut self) {
        self.said = true;
        let (Some(controller), Some(current)) = (self.controller(), self.history.current()) else { return };
        self.plugins.voice().runs(&self.id, &controller.status(), current.number);
        let (mark, number) = (Some(current.recipe.mark()), current.number);
        if mark != self.rejected
            && self.trial.is_none()
            && (mark == self.tolerated || self.was_on_probation())
        {
            if mark == self.tolerated {
                tracing::info!(plugin = %self.id, revision = number, "it was rolled back, and has to prove itself");
            } else {
                tracing::info!(plugin = %self.id, revision = number, "it was on probation when another host had it run, and is again");
            }
            self.trial = self.trial(Record::default(), None);
            if self.trial.is_some() {
                self.history.set_state(State::OnProbation);
            }
        }
        self.publish();
        // What was rolled back may be what runs: it has heard of that while another host had it run, or in the middle
        // of something else.
        self.go_on(ELSEWHERE).await;
    }

    /// Whether what runs was on probation when another host, or the one before, had it run.
    fn was_on_probation(&self) -> bool {
        self.told.on_probation && self.told.runs.is_some() && self.told.runs == self.current_mark()
    }

    fn number(&self) -> u64 {
        self.history.current().map_or(0, |current| current.number)
    }

    fn publish(&self) {
        let reports = self.history.reports();
        let rolled_back = self.rejected.clone().or_else(|| self.tolerated.clone());
        // As another host says, until this one has it run.
        let on_probation = self.trial.is_some() || (!self.said && self.was_on_probation());
        self.plugins.update(&self.id, |slot| {
            (slot.revisions, slot.on_probation) = (reports, on_probation);
            (slot.rolled_back, slot.tolerated) = (rolled_back, self.rejected.is_none());
        });
    }

    /// As its controller is called.
    fn name(&self) -> String {
        self.controller().map_or_else(|| self.id.short(), |controller| controller.spec().name.clone())
    }

    /// Stops what runs; what is being prepared goes on.
    async fn halt(&mut self) {
        self.said = true;
        let mut controller = None;
        self.plugins.update(&self.id, |slot| {
            (controller, slot.candidate) = (slot.controller.take(), None);
        });
        if let Some(controller) = controller {
            let name = controller.spec().name.clone();
            let drained = controller.stop(self.plugins.grace()).await;
            let how =
                if drained { "" } else { "; reconciles that did not end within the grace were stopped" };
            tracing::info!(plugin = name, "stopped{how}");
        }
        if let Some(driven) = self.driven.take() {
            driven.end().await;
        }
    }

    async fn stop(&mut self) {
        self.preparing.stop();
        self.trial = None;
        self.halt().await;
    }
}

/// Resolves when a plugin is at work: at once, unless it waits for its lease.
async fn works(driven: Option<&Driven>) {
    if let Some(driven) = driven {
        driven.candidate.led().await;
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.release();
    }
}
