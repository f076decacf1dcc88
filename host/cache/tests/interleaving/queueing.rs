//! The delta FIFO between one who pushes and one who waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;
use wheelhouse_core::Object;

use crate::fifo::{Cause, Delta, Popped, Queue};
use crate::order::in_many_orders;
use crate::sync::Mutex;
use crate::world::{Told, object, objects};
use crate::writer::Change;

fn change(old: Option<&Object>, new: Option<&Object>) -> Change {
    let key = new.or(old).unwrap().key();
    Change { key: Arc::new(key), old: old.cloned(), new: new.cloned() }
}

/// As `Subscription::next`.
fn next(queue: &Queue) -> Delta {
    loop {
        if let Some(Popped { delta, .. }) = queue.pop() {
            return delta;
        }
        block_on(queue.wake.notified());
    }
}

#[test]
fn who_waits_is_woken_and_sees_the_last_state_of_every_key() {
    let states = objects(&["a@1", "a@2!", "a@3!", "a@4"]);
    let again = objects(&["a'@6", "a'@7"]);
    let (unseen, end) = (object("b@5"), object("end@8"));
    in_many_orders(move || {
        let queue = Arc::new(Queue::default());
        queue.start([], false);
        let (pushed, states, again) = (Arc::clone(&queue), states.clone(), again.clone());
        let (unseen, end) = (unseen.clone(), end.clone());
        let producer = thread::spawn(move || {
            let push = |old, new| pushed.push([change(old, new)], Cause::Live, false);
            push(None, Some(&states[0]));
            for pair in states.windows(2) {
                push(Some(&pair[0]), Some(&pair[1]));
            }
            push(None, Some(&unseen));
            // As the store tells of a new UID: in one go.
            let gone = [change(Some(&states[3]), None), change(None, Some(&again[0]))];
            pushed.push(gone, Cause::Live, false);
            push(Some(&again[0]), Some(&again[1]));
            push(Some(&unseen), None);
            push(None, Some(&end));
        });
        let (mut told, mut deleted) = (Told::default(), BTreeSet::new());
        while !told.known.contains_key("end") {
            let delta = next(&queue);
            if delta.new.is_none() {
                deleted.extend(delta.old.as_ref().map(|old| old.uid().to_owned()));
            }
            told.take(&delta);
        }
        assert_eq!(told.all(), ["a'@7", "end@8"]);
        assert_eq!(deleted, BTreeSet::from(["a".to_owned(), "b".to_owned()]), "every deletion is told");
        producer.join().unwrap();
        assert!(queue.pop().is_none() && queue.len() == 0);
    });
}

#[test]
fn initial_objects_are_handed_out_before_it_is_said_that_they_are() {
    let initial = objects(&["a@1", "b@1"]);
    let (other, changed) = (object("c@2"), object("a@3"));
    in_many_orders(move || {
        let queue = Arc::new(Queue::default());
        // Taken under this lock, so that taking one and counting it are one.
        let left = Arc::new(Mutex::new(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
        let [starting, pushing, waiting] = [(); 3].map(|()| Arc::clone(&queue));
        let (there, other, changed) = (initial.clone(), other.clone(), changed.clone());
        let (still_left, first) = (Arc::clone(&left), initial[0].clone());
        let mut progress = queue.initial_done.subscribe();
        let threads = [
            thread::spawn(move || {
                starting.start(there.iter().map(|object| change(None, Some(object))), false);
            }),
            thread::spawn(move || pushing.push([change(None, Some(&other))], Cause::Live, false)),
            thread::spawn(move || {
                block_on(progress.wait_for(|done| *done)).unwrap();
                assert!(still_left.lock().unwrap().is_empty(), "they are not all handed out");
                waiting.push([change(Some(&first), Some(&changed))], Cause::Live, false);
            }),
        ];
        let mut told = Told::default();
        while !(told.all().contains(&"a@3".to_owned()) && told.known.contains_key("c")) {
            let mut left = left.lock().unwrap();
            let Some(Popped { delta, .. }) = queue.pop() else {
                drop(left);
                block_on(queue.wake.notified());
                continue;
            };
            if delta.cause == Cause::Initial {
                left.remove(&delta.key.name);
            }
            drop(left);
            told.take(&delta);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(told.all(), ["a@3", "b@1", "c@2"]);
        assert!(*queue.initial_done.borrow());
    });
}
