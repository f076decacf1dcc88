//! What its source wants of a plugin: another content, other terms, a pause, or an end.

use std::sync::Arc;

use super::Loader;
use crate::claims::Claim;
use crate::history::History;
use crate::plugins::{Phase, lock};
use crate::preparation::{Content, From, Problem, Step};
use crate::source::{Component, Ordered, Wanted};

impl Loader {
    /// Its source wants something else, or nothing: whether it is wanted.
    pub(super) async fn want(&mut self) -> bool {
        let wanted = self.wanted.borrow_and_update().clone();
        let Some(wanted) = wanted else {
            self.forget().await;
            return false;
        };
        self.wants(wanted).await;
        true
    }

    async fn wants(&mut self, wanted: Wanted) {
        let Wanted { component, artifact, config, config_at, ordered } = wanted;
        let uid = ordered.as_ref().map(|ordered| ordered.uid.clone());
        if self.uid.is_some() && self.uid != uid {
            // Another resource has the name: nothing of the old one is its.
            self.forget().await;
        }
        self.uid = uid.clone();
        let (usage, door) = (Arc::clone(&self.shared.usage), self.door.clone());
        self.plugins.update(&self.id, |slot| {
            (slot.uid, slot.usage, slot.orders, slot.artifact) = (uid, Some(usage), Some(door), artifact);
        });
        if let Some(ordered) = &ordered {
            self.take_order(ordered).await;
        }
        let rolled_back = ordered.as_ref().and_then(|ordered| ordered.rolled_back.clone());
        let generation = ordered.map(|ordered| ordered.generation);
        let begun = |step| {
            self.plugins.update(&self.id, |slot| {
                (slot.phase, slot.problem, slot.step) = (Phase::Loading, None, step);
                slot.generation = generation;
            });
        };
        match component {
            Component::Here(component) => {
                let content = Content { component, config, config_at };
                // A file that has changed and changed back meanwhile is looked at all the same.
                let same = self.content.as_ref().is_some_and(|before| before.is(&content));
                let was_rolled_back = rolled_back == Some(content.component.digest().to_string());
                if same && generation.is_some() {
                    self.grants_changed().await;
                    if was_rolled_back {
                        self.follow_roll_back(&content);
                    }
                    self.plugins.update(&self.id, |slot| slot.generation = generation);
                    return;
                }
                begun(Step::Compile);
                self.restoring = false;
                self.content = Some(content.clone());
                let first = if was_rolled_back { self.instead_of(&content).await } else { None };
                self.prepare(From::Source(first.unwrap_or(content)));
            }
            Component::Coming => {
                begun(Step::Fetch);
                self.content = None;
                self.preparing.stop();
            }
            Component::Missing(problem) => {
                begun(Step::Fetch);
                self.content = None;
                self.preparing.stop();
                self.plugins.report(&self.id, &problem);
            }
        }
    }

    /// What another host has rolled back, or this one before it began anew, is not tried again: what did well last
    /// is to run first, if it is known.
    async fn instead_of(&mut self, content: &Content) -> Option<Content> {
        if self.history.current().is_some() {
            self.rejected = Some(content.mark());
            return None;
        }
        let good = self.plugins.last_good(&self.id, self.uid.as_deref()?).await?;
        if good.mark() == content.mark() {
            return None;
        }
        tracing::warn!(plugin = %self.id, "what its resource wants was rolled back: what did well last is run instead");
        (self.rejected, self.restoring) = (Some(content.mark()), true);
        Some(good)
    }

    /// The host that leads has rolled back what this one, which stands by, has taken over as well.
    fn follow_roll_back(&mut self, content: &Content) {
        let leads = self.driven.as_ref().is_none_or(|driven| driven.candidate.standing().leads);
        let Some(current) = self.history.current().filter(|_| !leads) else { return };
        if current.recipe.mark() == content.mark() {
            // Without another one, it is what there is.
            let _ = self.roll_back_to(None);
        } else if self.rejected.is_none() {
            // It may be on its way.
            self.rejected = Some(content.mark());
            self.prepare(From::Source(content.clone()));
        }
    }

    /// What its resource says beside what is to run.
    async fn take_order(&mut self, ordered: &Arc<Ordered>) {
        self.plugins.take_terms(&self.id, ordered);
        self.history.keep(ordered.keep.unwrap_or(self.plugins.inner.settings.revision_history_limit));
        self.publish();
        if ordered.paused != self.paused {
            let _ = self.pause(ordered.paused).await;
        }
        if let Some(controller) = self.controller() {
            let spec = controller.spec();
            let claim = Claim::new(&self.id, &spec, ordered.shares_kind);
            lock(&self.plugins.inner.claims).take(&spec.name, claim);
        }
    }

    /// Its source has it no more.
    async fn forget(&mut self) {
        self.stop().await;
        self.release();
        self.plugins.voice().removed(&self.id);
        self.history = History::new(self.plugins.inner.settings.revision_history_limit);
        (self.rejected, self.restoring, self.paused) = (None, false, false);
        (self.content, self.uid) = (None, None);
        self.plugins.forget(&self.id);
    }

    /// Another plugin has what this one needs to itself.
    pub(super) fn claim_refused(&mut self, problem: Problem) {
        // A file is not tried again before it is another one.
        let waits = problem.waits && self.id.file().is_none();
        self.plugins.report(&self.id, &Problem { waits, ..problem });
        if let (true, Some(content)) = (waits, self.content.clone()) {
            self.prepare(From::Source(content));
        }
    }

    pub(super) async fn pause(&mut self, paused: bool) -> Result<String, String> {
        let was = std::mem::replace(&mut self.paused, paused);
        if let Some(controller) = self.controller() {
            if paused {
                controller.pause(self.plugins.grace()).await;
            } else {
                controller.resume().await;
            }
        }
        let how = if paused { "paused" } else { "running" };
        if was == paused {
            return Ok(format!("it is {how} already"));
        }
        let what = if paused { "paused: nothing more begins" } else { "resumed: every object is requested" };
        tracing::info!(plugin = %self.id, "{what}");
        let name = self.controller().map_or_else(|| self.id.short(), |it| it.spec().name.clone());
        self.plugins.voice().paused(&self.id, &name, paused);
        Ok(what.to_owned())
    }
}
