//! What its source wants of a plugin: another content, other terms, a pause, or an end.

use std::sync::Arc;

use super::{ELSEWHERE, Loader};
use crate::claims::Claim;
use crate::history::History;
use crate::plugins::{Phase, lock};
use crate::preparation::{Content, From, Mark, Problem, Step};
use crate::source::{Component, Ordered, Told, Wanted};

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
        let mut goes_back = false;
        if let Some(ordered) = &ordered {
            self.take_order(ordered).await;
            goes_back = self.heed(ordered);
        }
        let recalled = matches!(component, Component::Recalled(_));
        let generation = ordered.map(|ordered| ordered.generation);
        let begun = |step| {
            self.plugins.update(&self.id, |slot| {
                (slot.phase, slot.problem, slot.step) = (Phase::Loading, None, step);
                slot.generation = generation;
            });
        };
        match component {
            Component::Here(component) | Component::Recalled(component) => {
                let content = Content { component, config, config_at };
                // A file that has changed and changed back meanwhile is looked at all the same.
                let same = self.content.as_ref().is_some_and(|before| before.is(&content));
                let was_recalled = std::mem::replace(&mut self.recalled, recalled);
                if same && generation.is_some() {
                    if was_recalled && !recalled && self.current_mark() == Some(content.mark()) {
                        // It is what its source has, and not what was rolled back.
                        self.reject(None);
                    }
                    self.grants_changed().await;
                    self.plugins.update(&self.id, |slot| slot.generation = generation);
                    return;
                }
                begun(Step::Compile);
                self.content = Some(content.clone());
                if self.tolerated != Some(content.mark()) {
                    self.tolerated = None;
                }
                if goes_back {
                    // That first: then what is wanted.
                    return;
                }
                self.restoring = self.instead_of(&content).await;
                let first = self.restoring.clone().unwrap_or(content);
                self.prepare(From::Source(first));
            }
            Component::Coming => {
                begun(Step::Fetch);
                self.wants_nothing();
            }
            Component::Missing(problem) => {
                begun(Step::Fetch);
                self.wants_nothing();
                self.plugins.report(&self.id, &problem);
            }
        }
    }

    /// It may want something later. A way back goes on.
    fn wants_nothing(&mut self) {
        self.content = None;
        if !self.preparing.goes_back() {
            self.preparing.stop();
        }
    }

    /// What the status says of a rollback: by another host, which leads, or by one before this one began. Whether what
    /// runs here goes back for it.
    fn heed(&mut self, ordered: &Ordered) -> bool {
        self.told = ordered.told.clone();
        let Some(mark) = self.told.rolled_back.clone().filter(|mark| self.tolerated.as_ref() != Some(mark))
        else {
            return false;
        };
        let leads = self.driven.as_ref().is_none_or(|driven| driven.candidate.standing().leads);
        let current = self.current_mark();
        if leads && current.is_some() {
            // Its own word is newer.
            return false;
        }
        let is_new = self.rejected.as_ref() != Some(&mark);
        if is_new {
            self.reject(Some(mark.clone()));
        }
        // Until the other host has another one run, nobody knows which.
        let runs = self.told.runs.clone().filter(|runs| *runs != mark);
        if current.as_ref() == Some(&mark) {
            // If it is at work before it has gone back, that is looked at again.
            self.said = false;
            return runs.is_some_and(|runs| self.follow_back(self.former(&runs), mark));
        }
        let wanted = self.content.as_ref().map(Content::mark);
        if let Some(former) =
            runs.filter(|_| current.is_some() && current != wanted).and_then(|it| self.former(&it))
        {
            // The other host has gone back past it.
            return self.follow_back(Some(former), mark);
        }
        let content = self.content.clone().filter(|_| wanted.as_ref() == Some(&mark));
        if let (Some(content), true) = (content, is_new && !self.preparing.is_idle()) {
            // It is on its way.
            self.prepare(From::Source(content));
        }
        false
    }

    /// The number of the revision before what runs that was just this.
    fn former(&self, mark: &Mark) -> Option<u64> {
        self.history.former().rev().find(|entry| entry.recipe.mark() == *mark).map(|entry| entry.number)
    }

    /// As another host has done, if there is anything to go back to. Without, it is what there is.
    fn follow_back(&mut self, number: Option<u64>, refuses: Mark) -> bool {
        if self.preparing.goes_back() {
            return true;
        }
        let back = self.roll_back_to(number, Some(refuses), ELSEWHERE.to_owned());
        match &back {
            Ok(done) => tracing::warn!(plugin = %self.id, "rolled back {ELSEWHERE}: {done}"),
            Err(why) => tracing::warn!(plugin = %self.id, "rolled back {ELSEWHERE}, but not here: {why}"),
        }
        back.is_ok()
    }

    /// What did well last, if it is known, and if what is wanted was rolled back before this host began.
    async fn instead_of(&mut self, content: &Content) -> Option<Content> {
        let mark = content.mark();
        if self.history.current().is_some() || self.rejected.as_ref() != Some(&mark) {
            return None;
        }
        let good = self.last_good(Some(&mark)).await;
        if good.is_some() {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back: what did well last is run instead");
        } else {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back, and is run all the same: this host knows of nothing that did well");
            self.tolerate();
        }
        good
    }

    /// What did well last, if it is known, and is not this.
    pub(super) async fn last_good(&self, but: Option<&Mark>) -> Option<Content> {
        let good = self.plugins.last_good(&self.id, self.uid.as_deref()?).await;
        good.filter(|good| Some(&good.mark()) != but)
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
        (self.rejected, self.tolerated, self.restoring, self.told) = (None, None, None, Told::default());
        (self.content, self.uid, self.paused, self.recalled) = (None, None, false, false);
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
