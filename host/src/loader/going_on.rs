//! What is done next, as [`super::next`] decides it: what is prepared, what is given up, and what is said of it.

use std::time::Instant;

use wheelhouse_core::limits::Limits;

use super::next::{Due, Next, Situation};
use super::{ELSEWHERE, Loader};
use crate::grants::Terms;
use crate::history::State;
use crate::plugins::{Phase, Slot, lock};
use crate::preparation::{Back, Content, From, Mark, Problem, ROLLED_BACK, Step, Unready};

/// What cannot be loaded.
pub(super) struct Failed {
    pub(super) mark: Mark,
    pub(super) problem: Problem,
    /// That it was tried under, if there were any: others may be enough.
    pub(super) limits: Option<Limits>,
}

/// A way back that leads nowhere.
pub(super) struct DeadEnd {
    mark: Mark,
    /// That it was tried under, if there were any: others may be enough.
    limits: Option<Limits>,
}

/// What ran last has been tried under other terms.
pub(super) struct Renewed {
    pub(super) terms: Result<Terms, String>,
    pub(super) at: Instant,
}

impl Loader {
    pub(super) fn next(&self) -> Next {
        let failed = self.failed.as_ref().map(|failed| &failed.mark);
        // Who rolls back by hand does not want that, as long as the way back takes.
        let unwanted = match self.preparing.under_way() {
            Some(From::Back(_, _, Back { refuses, .. })) => refuses.as_ref(),
            _ => None,
        };
        let is_wanted = |mark: &Mark| failed != Some(mark) && unwanted != Some(mark);
        let wanted = self.content.as_ref().map(Content::mark).filter(is_wanted);
        let current = self.current_mark();
        Situation {
            wanted: wanted.as_ref(),
            refused: self.rejected.as_ref(),
            current: current.as_ref(),
            leads: self.leads(),
            proved: self.history.proved().find(|it| !self.is_dead_end(&it.recipe.mark())).map(|it| it.number),
            theirs: self.theirs(current.as_ref()),
            goes_back: self.goes_back(),
            stuck: self.stuck.is_some(),
            waits: self.waits_for_it(),
            due: self.due(),
        }
        .next()
    }

    /// Whether what its source wants is prepared, and has to wait.
    pub(super) fn waits_for_it(&self) -> bool {
        let of_it = |content: &Content| self.content.as_ref().is_some_and(|wanted| wanted.is(content));
        matches!(self.preparing.under_way(), Some(From::Wanted(content)) if of_it(content))
            && self.preparing.waits()
    }

    /// What ran last is tried once with each of its terms.
    fn due(&self) -> Due {
        let Some(current) = self.history.current() else { return Due::No };
        let terms = self.plugins.terms(&self.id, current.recipe.compiled.digest());
        match self.controller() {
            _ if self.renewed.as_ref().is_some_and(|renewed| renewed.terms == terms) => Due::No,
            None => Due::Resumed,
            Some(controller) if terms.is_ok_and(|terms| terms.limits != controller.limits()) => Due::Renewed,
            Some(_) => Due::No,
        }
    }

    /// Whether a way back is under way.
    pub(super) fn goes_back(&self) -> bool {
        match self.preparing.under_way() {
            Some(From::Back(..)) => true,
            Some(From::Good(_)) => self.history.current().is_some(),
            _ => false,
        }
    }

    /// The number of the revision before what runs that is what another host, which leads, runs.
    fn theirs(&self, current: Option<&Mark>) -> Option<u64> {
        let runs = self.told.runs.as_ref().filter(|runs| Some(*runs) != current)?;
        let goes_back = self.rejected.as_ref().is_some_and(|refused| refused != runs);
        let mut former = self.history.former().rev().filter(|_| goes_back);
        former.find(|entry| entry.recipe.mark() == *runs && !self.is_dead_end(runs)).map(|entry| entry.number)
    }

    /// Whether going back to this was tried, and failed, under the limits that it would have now.
    pub(super) fn is_dead_end(&self, mark: &Mark) -> bool {
        self.dead_ends.iter().any(|end| end.mark == *mark && !self.is_open_by_now(end))
    }

    /// Without any limits it is granted nothing, either.
    fn is_open_by_now(&self, end: &DeadEnd) -> bool {
        self.limits_of(&end.mark.digest).is_some_and(|limits| Some(limits) != end.limits)
    }

    /// Ways back that were tried under other limits are open again: what runs since there was none is left for them.
    fn reopen(&mut self) {
        // Who stands by goes where the other one goes. What is tolerated need not prove itself where there is a better.
        let is_tolerated = self.tolerated.is_some() && self.tolerated == self.current_mark();
        if self.rejected.is_some() || (self.trial.is_some() && !is_tolerated) || !self.leads() {
            return;
        }
        let mut ends = std::mem::take(&mut self.dead_ends);
        let is_news = ends.extract_if(.., |end| self.is_open_by_now(end)).count() > 0;
        self.dead_ends = ends;
        if is_news
            && is_tolerated
            && let Some(why) = self.no_way_back.take()
        {
            (self.rejected, self.trial) = (self.tolerated.take(), None);
            self.history.set_state(State::RolledBack(why));
            self.publish();
        }
    }

    /// Does what is to be done next, and says what that is. `why` is for what is rolled back.
    pub(super) async fn go_on(&mut self, why: &str) -> Next {
        self.reopen();
        let next = self.next();
        match next {
            Next::Restore => self.restore(why).await,
            next => self.act(next, why),
        }
        next
    }

    fn act(&mut self, next: Next, why: &str) {
        match next {
            Next::Stay => self.stop_what_is_not_wanted(),
            Next::Runs => {
                self.stop_what_is_not_wanted();
                if self.preparing.is_idle() && self.is_up_to_date() {
                    self.runs_already();
                }
            }
            Next::NotAgain => {
                self.stop_what_is_not_wanted();
                // Why what ran last does not run is more than that.
                if self.preparing.is_idle() && self.is_up_to_date() && self.is_open() {
                    self.say_not_again();
                }
            }
            Next::Try => self.try_it(),
            Next::Back(number) => self.go_back(number, why),
            Next::Again => self.run_again(),
            Next::Restore => {}
        }
    }

    /// What its source wanted before, or what was rolled back meanwhile, is prepared no more.
    fn stop_what_is_not_wanted(&mut self) {
        let Some(From::Wanted(content)) = self.preparing.under_way() else { return };
        let is_refused = self.rejected.as_ref() == Some(&content.mark());
        let is_wanted = self.content.as_ref().is_some_and(|wanted| wanted.is(content));
        if is_refused || !is_wanted {
            self.preparing.stop();
        }
        if is_refused {
            self.plugins.report(&self.id, &Problem::not_again());
        }
    }

    /// Whether what is said of what its source wants is that it cannot be loaded, or not yet.
    fn is_open(&self) -> bool {
        let is_open = |slot: &Slot| slot.problem.is_some() || slot.phase == Phase::Loading;
        lock(&self.plugins.inner.slots).get(&self.id).is_some_and(is_open)
    }

    /// What its source wants was rolled back, if that is not said yet.
    pub(super) fn say_not_again(&self) {
        if self.plugins.problem(&self.id).is_none_or(|problem| problem.reason != ROLLED_BACK) {
            self.plugins.report(&self.id, &Problem::not_again());
        }
    }

    /// Prepares what ran last, under the terms that there are now, unless that is under way. If it waits, it is to say so
    /// anew.
    fn run_again(&mut self) {
        if matches!(self.preparing.under_way(), Some(From::Again(..))) && !self.preparing.waits() {
            return;
        }
        let Some(current) = self.history.current() else { return };
        let from = From::Again(current.recipe.clone(), current.number);
        let wanted = self.content.as_ref().map(Content::mark);
        if wanted.is_some() && wanted == self.rejected && self.is_open() {
            self.say_not_again();
        }
        self.plugins.update(&self.id, |slot| {
            if slot.problem.is_none() {
                (slot.phase, slot.step) = (Phase::Loading, Step::Describe);
            }
        });
        self.prepare(from);
    }

    /// Prepares what its source wants, unless that is under way.
    fn try_it(&mut self) {
        let Some(content) = self.content.clone() else { return };
        if !matches!(self.preparing.under_way(), Some(From::Wanted(under_way)) if under_way.is(&content)) {
            self.plugins.update(&self.id, |slot| {
                (slot.phase, slot.problem, slot.step) = (Phase::Loading, None, Step::Compile);
            });
            self.prepare(From::Wanted(content));
        }
    }

    /// From what was rolled back to a former revision, unless that is under way.
    fn go_back(&mut self, to: u64, why: &str) {
        if matches!(self.preparing.under_way(), Some(From::Back(_, number, _)) if *number == to) {
            return;
        }
        let failed = self.number();
        if !self.leads() {
            tracing::warn!(plugin = %self.id, revision = failed, to, "rolled back: {why}");
            return self.back_to(to, self.rejected.clone(), why);
        }
        let why = match self.was_rolled_back_for() {
            // The way back that was tried first leads nowhere.
            Some(why) => why,
            None => {
                tracing::error!(plugin = %self.id, revision = failed, to, "rolled back: {why}");
                self.plugins.voice().rolled_back(&self.id, &self.name(), failed, to, why);
                self.plugins.update(&self.id, |slot| slot.rollbacks += 1);
                why.to_owned()
            }
        };
        self.history.set_state(State::RolledBack(why.clone()));
        self.back_to(to, self.rejected.clone(), &why);
        self.publish();
    }

    /// Prepares a former revision. `refuses` is not to be tried again from then on.
    pub(super) fn back_to(&mut self, number: u64, refuses: Option<Mark>, why: &str) {
        let recipe = self.history.target(Some(number), |_| true).map(|target| target.recipe.clone());
        if let Ok(recipe) = recipe {
            self.prepare(From::Back(recipe, number, Back { refuses, why: why.to_owned() }));
        }
    }

    /// To what did well before this host began, unless that is under way. If it is not known, what was rolled back is
    /// what there is.
    async fn restore(&mut self, why: &str) {
        if matches!(self.preparing.under_way(), Some(From::Good(_))) {
            return;
        }
        let runs = self.history.current().is_some();
        let good = self.last_good(self.rejected.as_ref()).await;
        let Some(good) = good.filter(|good| !self.is_dead_end(&good.mark())) else {
            if runs {
                tracing::error!(plugin = %self.id, revision = self.number(), "it runs on, as nothing better is known: {why}");
            } else {
                tracing::warn!(plugin = %self.id, "what its resource wants was rolled back, and is run all the same: this host knows of nothing that did well");
            }
            return self.tolerate(why);
        };
        let state = self.history.current().map(|current| current.state.clone());
        if matches!(state, Some(State::RolledBack(_))) {
            // It was told before something else was tried.
        } else if runs {
            tracing::error!(plugin = %self.id, revision = self.number(), "rolled back to what did well last: {why}");
            self.history.set_state(State::RolledBack(why.to_owned()));
            self.publish();
        } else {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back: what did well last is run instead");
        }
        self.prepare(From::Good(good));
    }

    /// What was to be prepared cannot be. If that was a way back, there may be another, or what its source wants is
    /// next.
    pub(super) async fn came_to_nothing(&mut self, from: From, Unready { problem, terms }: Unready) {
        self.plugins.report(&self.id, &problem);
        match from {
            From::Wanted(content) => {
                let limits = terms.ok().map(|terms| terms.limits);
                self.failed = Some(Failed { mark: content.mark(), problem, limits });
                if !self.is_up_to_date() {
                    // It may have had to wait, and made room for this.
                    self.renewed = None;
                }
                self.go_on(ELSEWHERE).await;
            }
            From::Again(..) => {
                self.renewed = Some(Renewed { terms: *terms, at: Instant::now() });
                self.go_on(ELSEWHERE).await;
            }
            From::Back(recipe, ..) => self.leads_nowhere(recipe.mark(), *terms).await,
            From::Good(content) => self.leads_nowhere(content.mark(), *terms).await,
        }
    }

    /// Going back to this has failed: there may be another way.
    async fn leads_nowhere(&mut self, mark: Mark, terms: Result<Terms, String>) {
        let limits = terms.ok().map(|terms| terms.limits);
        self.dead_ends.retain(|end| end.mark != mark);
        self.dead_ends.push(DeadEnd { mark, limits });
        let why = self.was_rolled_back_for();
        self.go_on(why.as_deref().unwrap_or(ELSEWHERE)).await;
    }

    /// Why what runs was rolled back, if it was.
    fn was_rolled_back_for(&self) -> Option<String> {
        match &self.history.current()?.state {
            State::RolledBack(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// What was rolled back runs, since nothing better is known.
    fn tolerate(&mut self, why: &str) {
        self.no_way_back = Some(self.was_rolled_back_for().unwrap_or_else(|| why.to_owned()));
        self.tolerated = self.rejected.take();
        if self.tolerated == self.current_mark() {
            self.history.set_state(State::Active);
        }
        self.publish();
        self.act(self.next(), ELSEWHERE);
    }

    /// What its source wants cannot be loaded, or is not there, as was told, whatever has become of what runs meanwhile.
    pub(super) fn still_failed(&self) {
        let failed = self.failed.as_ref().map(|failed| &failed.problem);
        let Some(problem) = failed.or(self.lacks.as_ref()) else { return };
        let phase = if problem.waits { Phase::Waiting } else { Phase::Failed };
        self.plugins.update(&self.id, |slot| {
            (slot.phase, slot.step, slot.problem) = (phase, problem.step, Some(problem.clone()));
        });
    }

    /// What its source wants is what runs: what was rolled back is not what it wants any more.
    pub(super) fn runs_already(&mut self) {
        if !self.recalled && self.leads() && self.rejected != self.current_mark() {
            self.reject(None);
        }
        let mut was_told = false;
        self.plugins.update(&self.id, |slot| {
            was_told = slot.problem.take().is_some() || slot.phase != Phase::Running;
            slot.phase = Phase::Running;
        });
        if was_told && self.leads() {
            self.plugins.voice().recovered(&self.id, &self.name(), self.number());
        }
    }
}
