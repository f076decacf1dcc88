//! What its source wants of a plugin: another content, other terms, a pause, or an end.

use std::sync::Arc;

use super::Loader;
use crate::claims::Claim;
use crate::history::{Entry, History};
use crate::plugins::{Phase, lock};
use crate::preparation::{Content, From, Problem, Recipe, Step};
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
            self.heed(ordered);
        }
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
                if same && generation.is_some() {
                    self.grants_changed().await;
                    self.plugins.update(&self.id, |slot| slot.generation = generation);
                    return;
                }
                begun(Step::Compile);
                self.content = Some(content.clone());
                self.restoring = self.instead_of(&content).await;
                let first = self.restoring.clone().unwrap_or(content);
                self.prepare(From::Source(first));
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

    /// What the status says of a rollback: by another host, which leads, or by this one before it began.
    fn heed(&mut self, ordered: &Ordered) {
        let Some(mark) = ordered.rolled_back.clone() else { return };
        let leads = self.driven.as_ref().is_none_or(|driven| driven.candidate.standing().leads);
        let Some(current) = self.history.current() else {
            // Its own word is newer.
            self.rejected.get_or_insert(mark);
            return self.publish();
        };
        if leads || self.rejected.as_ref() == Some(&mark) {
            return;
        }
        if current.recipe.mark() == mark {
            // To what the other runs, if that is there. Without another one, it is what there is.
            let runs = |entry: &&Entry<Recipe>| Some(&entry.digest) == ordered.runs.as_ref();
            let number = self.history.former().rev().find(runs).map(|entry| entry.number);
            let _ = self.roll_back_to(number);
            return;
        }
        let wanted = self.content.clone().filter(|content| content.mark() == mark);
        self.rejected = Some(mark);
        self.publish();
        if let (Some(content), true) = (wanted, self.preparing.0.is_some()) {
            // It is on its way.
            self.prepare(From::Source(content));
        }
    }

    /// What did well last, if it is known, and if what is wanted was rolled back before this host began.
    async fn instead_of(&mut self, content: &Content) -> Option<Content> {
        if self.history.current().is_some() || self.rejected != Some(content.mark()) {
            return None;
        }
        let good = self.plugins.last_good(&self.id, self.uid.as_deref()?).await;
        let good = good.filter(|good| good.mark() != content.mark());
        if good.is_some() {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back: what did well last is run instead");
        } else {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back, and is run all the same: this host knows of nothing that did well");
            self.rejected = None;
            self.publish();
        }
        good
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
        (self.rejected, self.restoring, self.paused) = (None, None, false);
        (self.content, self.uid) = (None, None);
        self.plugins.forget(&self.id);
    }

    /// Another plugin has what this one needs to itself.
    pub(super) fn claim_refused(&mut self, problem: Problem) {
        // A file is not tried again before it is another one.
        let waits = problem.waits && self.id.file().is_none();
        self.plugins.report(&self.id, &Problem { waits, ..problem });
        let content = self.restoring.clone().or_else(|| self.content.clone());
        if let (true, Some(content)) = (waits, content) {
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
