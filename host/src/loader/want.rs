//! What its source wants of a plugin: another content, other terms, a pause, or an end.

use std::sync::Arc;

use super::next::Next;
use super::{ELSEWHERE, Loader};
use crate::history::{History, State};
use crate::plugins::Phase;
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
        let Wanted { component, stale, artifact, config, config_at, ordered } = wanted;
        let uid = ordered.as_ref().map(|ordered| ordered.uid.clone());
        if self.uid.is_some() && self.uid != uid {
            // Another resource has the name: nothing of the old one is its.
            self.forget().await;
        }
        self.uid = uid.clone();
        let unconfirmed = ordered.as_ref().is_some_and(|ordered| ordered.unconfirmed);
        if std::mem::replace(&mut self.unconfirmed, unconfirmed) && !unconfirmed {
            self.forget_the_guess();
        }
        let (usage, door) = (Arc::clone(&self.shared.usage), self.door.clone());
        self.plugins.update(&self.id, |slot| {
            (slot.uid, slot.usage, slot.orders, slot.artifact) = (uid, Some(usage), Some(door), artifact);
        });
        if let Some(ordered) = &ordered {
            self.take_order(ordered).await;
            self.heed(ordered);
            // Whatever else is to run: what runs does not go on with what it has not.
            self.uphold().await;
        }
        self.is_stale(stale);
        let recalled = matches!(component, Component::Recalled(_));
        let is_resource = ordered.is_some();
        // There is nothing to tell the cluster of what it has not said yet.
        let generation = ordered.filter(|_| !unconfirmed).map(|ordered| ordered.generation);
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
                if same && is_resource {
                    let mark = Some(content.mark());
                    if was_recalled && !recalled && self.current_mark() == mark && self.rejected != mark {
                        // It is what its source has, and not what was rolled back.
                        self.reject(None);
                    }
                    self.grants_changed().await;
                    self.plugins.update(&self.id, |slot| slot.generation = generation);
                    return;
                }
                (self.content, self.failed, self.renewed) = (Some(content.clone()), None, None);
                self.lacks = None;
                // What runs is not any better for that.
                let current = self.current_mark();
                self.tolerated.take_if(|mark| *mark != content.mark() && Some(&*mark) != current.as_ref());
                begun(Step::Compile);
                if self.go_on(ELSEWHERE).await == Next::Runs && !self.preparing.is_idle() {
                    // Whatever was to come instead of it.
                    self.preparing.stop();
                    self.go_on(ELSEWHERE).await;
                }
            }
            Component::Coming => {
                begun(Step::Fetch);
                self.lacks = None;
                self.wants_nothing().await;
            }
            Component::Missing(problem) => {
                begun(Step::Fetch);
                self.lacks = Some(problem.clone());
                self.wants_nothing().await;
                self.plugins.report(&self.id, &problem);
            }
        }
    }

    /// The cluster says by now what its resource wants: nothing that was done for what it wanted before counts.
    fn forget_the_guess(&mut self) {
        self.preparing.stop();
        (self.content, self.failed, self.renewed, self.stuck) = (None, None, None, None);
        (self.rejected, self.tolerated) = (None, None);
        self.dead_ends.clear();
    }

    /// Why it is not known whether what its source has is still what it had, or that it is known.
    fn is_stale(&self, why: Option<Problem>) {
        let mut told = true;
        self.plugins.update(&self.id, |slot| {
            told = slot.stale == why;
            slot.stale = why.clone();
        });
        if let Some(problem) = why.filter(|_| !told) {
            self.plugins.voice().stale(&self.id, &problem.message);
        }
    }

    /// It may want something later. A way back goes on.
    async fn wants_nothing(&mut self) {
        (self.content, self.failed) = (None, None);
        if matches!(self.preparing.under_way(), Some(From::Wanted(_) | From::Good(_))) && !self.goes_back() {
            self.preparing.stop();
        }
        self.go_on(ELSEWHERE).await;
    }

    /// What the status says: of another host, which leads, or of one before this one began.
    fn heed(&mut self, ordered: &Ordered) {
        self.told = ordered.told.clone();
        let current = self.current_mark();
        if current.is_some() && self.leads() {
            // Its own word is newer.
            return;
        }
        // Once this one has it run, that is looked at again.
        self.said = false;
        let Told { rolled_back, runs, on_probation } = &self.told;
        match rolled_back {
            Some(mark) if self.tolerated.as_ref() != Some(mark) => {
                if self.rejected.as_ref() != Some(mark) {
                    tracing::warn!(plugin = %self.id, "what its source wanted was rolled back {ELSEWHERE}");
                    self.rejected = Some(mark.clone());
                }
            }
            Some(_) => {}
            None => {
                // It has proved itself there, or is forgotten since both run something else.
                let proved = |mark: &Mark| runs.as_ref() == Some(mark) && !on_probation;
                let over =
                    |mark: &Mark| current.as_ref() != Some(mark) && current.is_some() && *runs == current;
                self.rejected.take_if(|mark| proved(mark) || over(mark));
                self.tolerated.take_if(|mark| proved(mark));
            }
        }
        if *runs == current && !on_probation && self.rejected != current {
            self.history.set_proved();
            if self.trial.take().is_some() {
                self.history.set_state(State::Active);
            }
        }
        self.publish();
    }

    /// What did well last, if it is known, and is not this.
    pub(super) async fn last_good(&self, but: Option<&Mark>) -> Option<Content> {
        let good = self.plugins.last_good(&self.id, self.uid.as_deref()?).await;
        good.filter(|good| Some(&good.mark()) != but)
    }

    /// What its resource says beside what is to run.
    async fn take_order(&mut self, ordered: &Arc<Ordered>) {
        self.plugins.take_terms(&self.id, ordered);
        if ordered.unconfirmed {
            return;
        }
        self.plugins.voice().is_on(&self.id, &ordered.uid);
        self.history.keep(ordered.keep.unwrap_or(self.plugins.inner.settings.revision_history_limit));
        self.publish();
        if ordered.paused != self.paused {
            let _ = self.pause(ordered.paused).await;
        }
    }

    /// Its source has it no more.
    async fn forget(&mut self) {
        self.stop().await;
        self.release();
        // Of what the cluster has not said to be there, it is not said to be gone.
        if !self.unconfirmed && (self.uid.is_some() || self.id.file().is_some()) {
            self.plugins.voice().removed(&self.id, self.uid.as_deref());
        }
        self.history = History::new(self.plugins.inner.settings.revision_history_limit);
        (self.rejected, self.tolerated, self.failed, self.told) = (None, None, None, Told::default());
        (self.content, self.uid, self.stuck, self.renewed) = (None, None, None, None);
        self.lacks = None;
        (self.dead_ends, self.no_way_back) = (Vec::new(), None);
        self.sharing_elsewhere.clear();
        (self.paused, self.recalled, self.unconfirmed) = (false, false, false);
        self.plugins.forget(&self.id);
    }

    /// What is ready may not run, by now: it is tried again.
    pub(super) fn refused(&mut self, problem: &Problem, from: From) {
        self.plugins.report(&self.id, problem);
        self.prepare(from);
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
