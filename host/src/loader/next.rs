//! What is to run next: decided from what is known, and from nothing else, so that each case is a row of a table.

use crate::preparation::Mark;

/// What is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Situation<'a> {
    /// What its source wants, if that is there.
    pub(super) wanted: Option<&'a Mark>,
    /// What was rolled back, and is not tried again.
    pub(super) refused: Option<&'a Mark>,
    /// What ran last.
    pub(super) current: Option<&'a Mark>,
    /// Whether this host has it run, and nobody knows better.
    pub(super) leads: bool,
    /// The newest revision before what ran last that has proved itself.
    pub(super) proved: Option<u64>,
    /// The revision before it that is what another host, which leads, runs.
    pub(super) theirs: Option<u64>,
    /// Whether a way back is under way.
    pub(super) goes_back: bool,
    /// Whether the way back from what was rolled back has had to wait for the cluster, or for a grant.
    pub(super) stuck: bool,
    /// Whether a preparation of what is wanted is under way, and has to wait for the same.
    pub(super) waits: bool,
    /// What is due of what ran last, under the terms that there are now.
    pub(super) due: Due,
}

/// Whether what ran last is to be prepared under other terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Due {
    /// It runs under those that there are, or has been tried with them.
    #[default]
    No,
    /// It runs under others.
    Renewed,
    /// It was stopped.
    Resumed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing yet.
    Stay,
    /// What its source wants runs.
    Runs,
    /// What its source wants is what was rolled back.
    NotAgain,
    /// What its source wants is prepared.
    Try,
    /// The former revision with this number is prepared.
    Back(u64),
    /// What did well before this host began is prepared, if it is known; else what was rolled back is what there is.
    Restore,
    /// What ran last is prepared, under the terms that there are now.
    Again,
}

impl Situation<'_> {
    pub(super) fn next(&self) -> Next {
        let next = self.beside_terms();
        // Other terms are tried with what is wanted first, but not as long as nothing runs, or as that has to wait.
        let is_first = match next {
            Next::Runs | Next::NotAgain | Next::Stay => !self.goes_back,
            Next::Try => !self.goes_back && (self.waits || self.due == Due::Resumed),
            // What runs as long as a way back has to wait is not to have what it had before.
            Next::Back(_) | Next::Restore => self.stuck && self.due == Due::Renewed,
            Next::Again => false,
        };
        if is_first && self.due != Due::No { Next::Again } else { next }
    }

    /// Whatever the terms are.
    fn beside_terms(&self) -> Next {
        if self.goes_back && !self.stuck {
            // That first.
            return Next::Stay;
        }
        let fix = self.wanted.filter(|wanted| Some(*wanted) != self.refused);
        let refused_runs = self.current.is_some() && self.current == self.refused;
        if self.leads {
            // But a way back that may never have an end is not tried instead of a fix.
            if refused_runs && !(self.stuck && fix.is_some()) {
                return self.proved.map_or(Next::Restore, Next::Back);
            }
        } else if let Some(theirs) = self.theirs
            && (refused_runs || self.wanted.is_some_and(|wanted| Some(wanted) != self.current))
        {
            return Next::Back(theirs);
        }
        match (self.wanted, fix) {
            (None, _) => Next::Stay,
            (_, Some(fix)) if self.current == Some(fix) => Next::Runs,
            (_, Some(_)) => Next::Try,
            // Until the other host has another one run, nobody knows which.
            (Some(_), None) if refused_runs => Next::Stay,
            (Some(_), None) if self.current.is_some() => Next::NotAgain,
            (Some(_), None) => Next::Restore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(of: char) -> Option<Mark> {
        (of != '-').then(|| Mark { digest: of.to_string(), config: String::new() })
    }

    /// What is wanted, refused and current, as letters, or `-`.
    fn next(marks: &str, with: impl Fn(&mut Situation<'_>)) -> Next {
        let marks: Vec<Option<Mark>> = marks.chars().map(mark).collect();
        let [wanted, refused, current] = &marks[..] else { panic!("three letters") };
        let mut situation = Situation {
            wanted: wanted.as_ref(),
            refused: refused.as_ref(),
            current: current.as_ref(),
            ..Situation::default()
        };
        with(&mut situation);
        situation.next()
    }

    #[test]
    fn who_leads_runs_what_is_wanted_but_not_what_was_rolled_back() {
        use Next::{Back, NotAgain, Restore, Runs, Stay, Try};
        let table = [
            // wanted, refused, current; whether a former one has proved itself
            ("---", false, Stay),
            ("a--", false, Try),
            ("a-a", true, Runs),
            ("b-a", true, Try),
            ("-ra", true, Stay),
            ("bra", true, Try),
            ("ara", true, Runs),
            ("rra", true, NotAgain),
            ("rr-", false, Restore),
            ("rrr", true, Back(1)),
            ("rrr", false, Restore),
            ("-rr", true, Back(1)),
            // Traps have an end first: then comes what is wanted.
            ("brr", true, Back(1)),
            ("brr", false, Restore),
        ];
        for (marks, proved, expected) in table {
            let found = next(marks, |it| (it.leads, it.proved) = (true, proved.then_some(1)));
            assert_eq!(found, expected, "{marks} {proved}");
        }
    }

    #[test]
    fn who_stands_by_goes_where_the_other_has_gone_and_else_waits() {
        use Next::{Back, NotAgain, Restore, Runs, Stay, Try};
        let table = [
            // wanted, refused, current; whether what the other runs is a former one here
            ("rrr", true, Back(2)),
            ("rrr", false, Stay),
            ("brr", true, Back(2)),
            ("brr", false, Try),
            ("-rr", true, Back(2)),
            ("-rr", false, Stay),
            // Gone back past what runs here, which is not what was rolled back last.
            ("rra", true, Back(2)),
            ("rra", false, NotAgain),
            ("ara", true, Runs),
            ("-ra", true, Stay),
            ("rr-", false, Restore),
            ("b-a", false, Try),
        ];
        for (marks, known, expected) in table {
            let found = next(marks, |it| (it.proved, it.theirs) = (Some(1), known.then_some(2)));
            assert_eq!(found, expected, "{marks} {known}");
        }
    }

    #[test]
    fn a_way_back_is_let_end_before_anything_else_begins() {
        for marks in ["a-a", "b-a", "bra", "rrr", "brr", "rr-", "-rr"] {
            for leads in [true, false] {
                let found = next(marks, |it| {
                    (it.leads, it.goes_back, it.proved, it.theirs) = (leads, true, Some(1), Some(2));
                });
                assert_eq!(found, Next::Stay, "{marks} {leads}");
            }
        }
    }

    #[test]
    fn what_ran_last_has_the_terms_that_there_are_now() {
        use Next::{Again, Back, NotAgain, Restore, Runs, Stay, Try};
        let table = [
            // wanted, refused, current; what there is to do by itself, when it runs under other terms, and when it was
            // stopped
            ("a-a", Runs, Again, Again),
            ("rra", NotAgain, Again, Again),
            ("--a", Stay, Again, Again),
            // The newest has them first, but for what does not run at all.
            ("b-a", Try, Try, Again),
            ("bra", Try, Try, Again),
            // What was rolled back does not come back with its terms.
            ("rrr", Back(1), Back(1), Back(1)),
            ("brr", Back(1), Back(1), Back(1)),
        ];
        for (marks, alone, renewed, resumed) in table {
            let due = |due| next(marks, |it| (it.leads, it.proved, it.due) = (true, Some(1), due));
            let found = (due(Due::No), due(Due::Renewed), due(Due::Resumed));
            assert_eq!(found, (alone, renewed, resumed), "{marks}");
            let back = next(marks, |it| (it.leads, it.due, it.goes_back) = (true, Due::Resumed, true));
            assert_eq!(back, Stay, "{marks}: a way back is let end");
        }
        assert_eq!(next("rrr", |it| (it.leads, it.due) = (true, Due::Resumed)), Restore);
    }

    #[test]
    fn a_fix_that_waits_keeps_nothing_from_its_terms() {
        let waits = |due| next("b-a", |it| (it.leads, it.waits, it.due) = (true, true, due));
        assert_eq!((waits(Due::Renewed), waits(Due::Resumed)), (Next::Again, Next::Again));
        // Once that has been tried, the fix goes on.
        assert_eq!(waits(Due::No), Next::Try);
    }

    #[test]
    fn a_way_back_that_waits_for_the_cluster_holds_up_no_fix() {
        for goes_back in [true, false] {
            let stuck = |marks| {
                next(marks, |it| {
                    (it.leads, it.goes_back, it.stuck, it.proved) = (true, goes_back, true, Some(1));
                })
            };
            // Whatever the fix waits for in its turn: else the two would take each other's place for ever.
            assert_eq!(stuck("brr"), Next::Try);
            assert_eq!(
                (stuck("rrr"), stuck("-rr")),
                (Next::Back(1), Next::Back(1)),
                "without a fix it goes on"
            );
        }
    }

    #[test]
    fn what_runs_has_its_terms_though_a_way_back_waits_and_does_not_come_back_for_them() {
        for (due, stuck, expected) in [
            (Due::Renewed, true, Next::Again),
            (Due::Renewed, false, Next::Stay),
            // Once that has been tried, the way back goes on.
            (Due::No, true, Next::Back(1)),
            (Due::Resumed, true, Next::Back(1)),
        ] {
            let found = next("rrr", |it| {
                (it.leads, it.proved, it.due) = (true, Some(1), due);
                (it.goes_back, it.stuck) = (true, stuck);
            });
            assert_eq!(found, expected, "{due:?} {stuck}");
        }
    }
}
