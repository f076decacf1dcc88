//! Each step of an elector, by hand.

use std::time::Duration;

use wheelhouse_core::Moment;

use super::elector::{Elector, Next, NotWritten, Timings, Write};
use super::record::{Lease, Record};

pub(super) const TIMINGS: Timings = Timings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};
const SECOND: Duration = Duration::from_secs(1);
const NONE: Duration = Duration::ZERO;

/// Half of the jitter, always.
fn elector(now: Moment) -> Elector {
    Elector::new("me".to_owned(), TIMINGS, now, || 0.5)
}

fn lease(holder: &str, renewed: &str, version: &str) -> Lease {
    let record = Record {
        holder: holder.to_owned(),
        duration: Some(TIMINGS.lease_duration),
        acquired: "then".to_owned(),
        renewed: renewed.to_owned(),
        transitions: 1,
    };
    Lease { record, version: version.to_owned() }
}

fn written(next: Next) -> Write {
    let Next::Write(write) = next else { panic!("a write, and not {next:?}") };
    write
}

/// One that took a free lease at `now`, and holds it in version 2.
fn leader(now: Moment) -> Elector {
    let mut elector = elector(now);
    elector.read(now, Ok(None), NONE, "now");
    let write = written(elector.next(now, "now"));
    elector.wrote(now, now, &write, Ok("2".to_owned()));
    assert_eq!(elector.leads_until(now), Some(now + TIMINGS.renew_deadline));
    elector
}

#[test]
fn a_lease_that_is_not_there_is_created_and_then_held() {
    let now = Moment::now();
    let mut elector = elector(now);
    assert_eq!(elector.next(now, ""), Next::Read);
    elector.read(now, Ok(None), NONE, "today");
    let write = written(elector.next(now, "today"));
    assert_eq!((write.replaces.as_deref(), write.record.holder.as_str()), (None, "me"));
    assert_eq!((write.record.duration, write.record.transitions), (Some(TIMINGS.lease_duration), 0));
    assert_eq!((write.record.acquired.as_str(), write.record.renewed.as_str()), ("today", "today"));
    assert_eq!(elector.leads_until(now), None, "not before the answer");
    elector.wrote(now + SECOND, now, &write, Ok("1".to_owned()));
    assert_eq!(elector.leads_until(now + SECOND), Some(now + TIMINGS.renew_deadline), "from the sending on");
    assert_eq!(elector.holder(), "me");
    assert_eq!(elector.next(now + SECOND, ""), Next::Wait(now + TIMINGS.retry_period));
}

#[test]
fn a_lease_is_free_when_its_record_has_not_changed_for_its_duration_by_the_own_clock() {
    let begin = Moment::now();
    let mut elector = elector(begin);
    // What it says of the time does not matter: it was written a century ago, or will be.
    elector.read(begin, Ok(Some(lease("other", "1926", "1"))), NONE, "");
    assert_eq!(elector.next(begin, ""), Next::Wait(begin + Duration::from_millis(3200)), "with jitter");
    elector.read(begin + 14 * SECOND, Ok(Some(lease("other", "2126", "2"))), NONE, "");
    let expires = begin + 29 * SECOND;
    elector.read(begin + 28 * SECOND, Ok(Some(lease("other", "2126", "2"))), NONE, "");
    assert_eq!(elector.next(begin + 28 * SECOND, ""), Next::Wait(expires), "no later than it is free");
    // A change that is not one of the record is none.
    elector.read(expires, Ok(Some(lease("other", "2126", "3"))), NONE, "now");
    let write = written(elector.next(expires, "now"));
    assert_eq!((write.replaces.as_deref(), write.record.transitions), (Some("3"), 2));
}

#[test]
fn the_duration_that_counts_is_the_one_of_the_record() {
    let begin = Moment::now();
    let mut elector = elector(begin);
    let mut long = lease("other", "a", "1");
    long.record.duration = Some(60 * SECOND);
    elector.read(begin, Ok(Some(long.clone())), NONE, "");
    elector.read(begin + 59 * SECOND, Ok(Some(long)), NONE, "");
    assert_eq!(elector.next(begin + 59 * SECOND, ""), Next::Wait(begin + 60 * SECOND));
}

#[test]
fn a_lease_that_was_released_is_taken_at_once() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(Some(lease("other", "a", "1"))), NONE, "");
    elector.read(now, Ok(Some(lease("", "b", "2"))), NONE, "");
    assert_eq!(written(elector.next(now, "")).replaces.as_deref(), Some("2"));
}

#[test]
fn one_that_is_patient_takes_a_free_lease_later() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(Some(lease("", "b", "2"))), SECOND, "");
    assert_eq!(elector.next(now, ""), Next::Wait(now + SECOND));
    assert_eq!(elector.next(now + SECOND, ""), Next::Read, "another one may have it by then");
    elector.read(now + SECOND, Ok(Some(lease("", "b", "2"))), SECOND, "");
    assert!(matches!(elector.next(now + SECOND, ""), Next::Write(_)));
}

#[test]
fn a_renewal_is_sent_without_asking_and_moves_the_deadline_on() {
    let now = Moment::now();
    let mut elector = leader(now);
    let later = now + TIMINGS.retry_period;
    let write = written(elector.next(later, "later"));
    assert_eq!(write.replaces.as_deref(), Some("2"));
    assert_eq!((write.record.acquired.as_str(), write.record.renewed.as_str()), ("now", "later"));
    elector.wrote(later, later, &write, Ok("3".to_owned()));
    assert_eq!(elector.leads_until(later), Some(later + TIMINGS.renew_deadline));
}

#[test]
fn without_a_renewal_it_leads_until_the_deadline_and_not_longer() {
    let now = Moment::now();
    let mut elector = leader(now);
    let mut at = now;
    let deadline = now + TIMINGS.renew_deadline;
    while at < deadline {
        match elector.next(at, "") {
            Next::Wait(until) => at = until,
            Next::Read => elector.read(at, Err(()), NONE, ""),
            Next::Write(write) => elector.wrote(at, at, &write, Err(NotWritten::Unknown)),
        }
        assert!(at <= deadline, "it wakes at the deadline");
    }
    assert_eq!(elector.leads_until(at), None);
    // Then it is a candidate like others, and asks.
    assert_eq!(elector.next(at, ""), Next::Read);
}

#[test]
fn a_process_that_was_stopped_leads_no_more_when_it_wakes() {
    let now = Moment::now();
    let mut elector = leader(now);
    let woken = now + 60 * SECOND;
    assert_eq!(elector.leads_until(woken), None, "before it has heard of anything");
    assert_eq!(elector.next(woken, ""), Next::Read);
    elector.read(woken, Ok(Some(lease("other", "x", "9"))), NONE, "");
    assert!(matches!(elector.next(woken, ""), Next::Wait(_)));
}

#[test]
fn a_renewal_whose_answer_was_lost_is_found_out_about() {
    let now = Moment::now();
    let mut elector = leader(now);
    let later = now + TIMINGS.retry_period;
    let write = written(elector.next(later, "later"));
    elector.wrote(later, later, &write, Err(NotWritten::Unknown));
    let Next::Wait(again) = elector.next(later, "") else { panic!() };
    assert_eq!((again, elector.next(again, "")), (later + TIMINGS.retry_period, Next::Read));
    // It was written; but what is known of the server's time is only what was answered.
    elector.read(again, Ok(Some(Lease { record: write.record, version: "3".to_owned() })), NONE, "again");
    assert_eq!(elector.leads_until(again), Some(now + TIMINGS.renew_deadline));
    assert_eq!(written(elector.next(again, "again")).replaces.as_deref(), Some("3"));
}

#[test]
fn a_leader_that_finds_another_holder_leads_no_more_at_once() {
    let now = Moment::now();
    let mut elector = leader(now);
    let later = now + TIMINGS.retry_period;
    let write = written(elector.next(later, ""));
    elector.wrote(later, later, &write, Err(NotWritten::Conflict));
    assert_eq!(elector.next(later, ""), Next::Read, "at once");
    elector.read(later, Ok(Some(lease("other", "x", "9"))), NONE, "");
    assert_eq!((elector.leads_until(later), elector.holder()), (None, "other"));
}

#[test]
fn a_takeover_that_another_was_quicker_with_is_no_takeover() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(Some(lease("", "x", "1"))), NONE, "");
    let write = written(elector.next(now, ""));
    elector.wrote(now, now, &write, Err(NotWritten::Conflict));
    assert_eq!(elector.leads_until(now), None);
    assert!(matches!(elector.next(now, ""), Next::Wait(_)));
}

#[test]
fn a_takeover_whose_answer_came_too_late_leads_nobody_before_the_next_renewal() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(None), NONE, "");
    let write = written(elector.next(now, ""));
    let late = now + TIMINGS.renew_deadline;
    elector.wrote(late, now, &write, Ok("1".to_owned()));
    assert_eq!(elector.leads_until(late), None);
    assert_eq!(elector.next(late, ""), Next::Read);
    elector.read(late, Ok(Some(Lease { record: write.record, version: "1".to_owned() })), NONE, "");
    let write = written(elector.next(late, ""));
    elector.wrote(late, late, &write, Ok("2".to_owned()));
    assert!(elector.leads_until(late).is_some());
}

#[test]
fn a_lease_that_was_deleted_is_not_taken_from_a_holder_that_does_not_know_of_it() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(Some(lease("other", "x", "1"))), NONE, "");
    elector.read(now + SECOND, Ok(None), NONE, "");
    assert!(matches!(elector.next(now + SECOND, ""), Next::Wait(_)));
    let expired = now + TIMINGS.lease_duration;
    elector.read(expired, Ok(None), NONE, "");
    assert_eq!(written(elector.next(expired, "")).replaces, None);
    // The holder itself makes it anew.
    let mut holder = leader(now);
    holder.read(now + SECOND, Ok(None), SECOND, "");
    assert_eq!(written(holder.next(now + SECOND, "")).replaces, None);
}

#[test]
fn what_is_released_is_nobodys_and_only_what_is_held_is_released() {
    let now = Moment::now();
    let elector = leader(now);
    let write = elector.release("end").unwrap();
    assert_eq!((write.replaces.as_deref(), write.record.holder.as_str()), (Some("2"), ""));
    assert_eq!((write.record.duration, write.record.renewed.as_str()), (Some(SECOND), "end"));
    let mut standby = self::elector(now);
    assert_eq!(standby.release("end"), None);
    standby.read(now, Ok(Some(lease("other", "x", "1"))), NONE, "");
    assert_eq!(standby.release("end"), None);
}

#[test]
fn a_lease_that_is_said_to_be_free_is_looked_at_at_once_and_no_write_is_given_up_for_it() {
    let now = Moment::now();
    let mut elector = elector(now);
    elector.read(now, Ok(Some(lease("other", "1", "1"))), NONE, "");
    assert!(matches!(elector.next(now, ""), Next::Wait(_)));
    elector.freed(now + SECOND);
    assert_eq!(elector.next(now + SECOND, ""), Next::Read);
    // It was not true.
    elector.read(now + SECOND, Ok(Some(lease("other", "2", "2"))), NONE, "");
    assert!(matches!(elector.next(now + SECOND, ""), Next::Wait(_)));
    elector.read(now + SECOND, Ok(Some(lease("", "3", "3"))), NONE, "now");
    elector.freed(now + SECOND);
    written(elector.next(now + SECOND, "now"));
}

#[test]
fn a_leader_looks_once_at_once_for_whom_a_conflict_was_and_then_takes_its_time() {
    let now = Moment::now();
    let mut elector = leader(now);
    let conflict = |elector: &mut Elector, at: Moment| {
        let write = written(elector.next(at, ""));
        elector.wrote(at, at, &write, Err(NotWritten::Conflict));
        elector.next(at, "")
    };
    let later = now + TIMINGS.retry_period;
    assert_eq!(conflict(&mut elector, later), Next::Read);
    // It has its own lease there, or none, and yet it cannot write.
    elector.read(later, Ok(None), NONE, "");
    let again = later + TIMINGS.retry_period;
    assert_eq!(conflict(&mut elector, later), Next::Wait(again));
    assert_eq!(elector.next(again, ""), Next::Read);
    elector.read(again, Ok(None), NONE, "");
    assert_eq!(conflict(&mut elector, again), Next::Wait(again + TIMINGS.retry_period));
    // A write that succeeds ends it.
    let mut elector = leader(now);
    conflict(&mut elector, later);
    elector.read(later, Ok(Some(lease("me", "x", "9"))), NONE, "");
    let write = written(elector.next(later, ""));
    elector.wrote(later, later, &write, Ok("10".to_owned()));
    assert_eq!(conflict(&mut elector, later + TIMINGS.retry_period), Next::Read);
}

#[test]
fn after_a_write_that_failed_a_lease_may_be_held_until_it_was_looked_at() {
    let now = Moment::now();
    for failure in [NotWritten::Unknown, NotWritten::Conflict] {
        let mut elector = elector(now);
        elector.read(now, Ok(None), NONE, "");
        assert!(!elector.in_doubt());
        let write = written(elector.next(now, ""));
        elector.wrote(now, now, &write, Err(failure));
        assert!(elector.in_doubt());
        elector.read(now, Err(()), NONE, "");
        assert!(elector.in_doubt());
        elector.read(now, Ok(Some(lease("me", "x", "1"))), NONE, "");
        assert!(!elector.in_doubt());
        assert_eq!(elector.release("").unwrap().replaces.as_deref(), Some("1"));
    }
}
