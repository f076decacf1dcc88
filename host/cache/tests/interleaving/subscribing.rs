//! Handlers that come while a store syncs and changes.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;
use wheelhouse_core::{Fields, Object};

use crate::fifo::{Cause, Popped};
use crate::informer::Informer;
use crate::order::in_many_orders;
use crate::sink::Sink;
use crate::world::{Told, informer, object, objects, sink};

/// What the API server says, from the first list on.
#[derive(Clone)]
struct Said {
    list: Vec<Object>,
    changes: Vec<Object>,
    relist: Vec<Object>,
    end: Object,
}

fn said() -> Said {
    Said {
        list: objects(&["a@1", "b@2", "c@2"]),
        // A new UID under an old name, and the deletion of what was in the list.
        changes: objects(&["a@4", "c'@5", "d@6!", "d@7!"]),
        relist: objects(&["a@4", "c'@5", "e@9"]),
        end: object("end@10"),
    }
}

/// What is there in the end.
const LAST: [&str; 4] = ["a@4", "c'@5", "e@9", "end@10"];

impl Said {
    /// As a reflector.
    fn tell(&self, sink: &Sink) {
        sink.replace(self.list.clone(), &[], "3", &Fields::all());
        self.changes.iter().for_each(|object| sink.upsert(object.clone()));
        sink.remove(&object("b@8"));
        sink.replace(self.relist.clone(), &[], "9", &Fields::all());
        sink.upsert(self.end.clone());
    }
}

/// Subscribes, and takes what comes until the end.
fn handle(informer: &Informer) -> Told {
    let mut subscription = informer.subscribe();
    let mut told = Told::default();
    while !told.known.contains_key("end") {
        told.take(&block_on(subscription.next()));
    }
    assert!(subscription.initial_done() && subscription.waiting() == 0);
    told
}

#[test]
fn who_comes_at_any_time_is_told_of_everything_once() {
    let said = said();
    in_many_orders(move || {
        let sink = sink(&Fields::all());
        let informer = informer(&sink, &Fields::all());
        let (said, told) = (said.clone(), Arc::clone(&sink));
        let reflector = thread::spawn(move || said.tell(&told));
        let (first, second) = (informer.clone(), informer.clone());
        let other = thread::spawn(move || handle(&first).all());
        assert_eq!(handle(&second).all(), LAST);
        assert_eq!(other.join().unwrap(), LAST);
        reflector.join().unwrap();
        assert_eq!(sink.subscriptions(), 0, "they are gone");
    });
}

#[test]
fn who_waits_for_the_initial_objects_is_told_once_they_are_handed_out() {
    let list = objects(&["a@1", "b@2"]);
    in_many_orders(move || {
        let sink = sink(&Fields::all());
        let informer = informer(&sink, &Fields::all());
        let (list, told) = (list.clone(), Arc::clone(&sink));
        let reflector = thread::spawn(move || {
            told.replace(list, &[], "2", &Fields::all());
            told.upsert(object("c@3"));
        });
        let mut subscription = informer.subscribe();
        let mut progress = subscription.progress();
        let waiter = thread::spawn(move || {
            block_on(informer.wait_synced());
            assert!(block_on(progress.wait_initial_done()));
        });
        let mut told = Told::default();
        while told.known.len() < 3 {
            let done = subscription.initial_done();
            let delta = block_on(subscription.next());
            assert!(!done || delta.cause == Cause::Live, "{delta:?} after all were handed out");
            told.take(&delta);
        }
        assert!(subscription.initial_done());
        waiter.join().unwrap();
        reflector.join().unwrap();
    });
}

#[test]
fn who_is_told_of_everything_again_is_not_told_of_the_past() {
    let said = said();
    in_many_orders(move || {
        let sink = sink(&Fields::all());
        let informer = informer(&sink, &Fields::all());
        let (said, told) = (said.clone(), Arc::clone(&sink));
        let reflector = thread::spawn(move || said.tell(&told));
        let queue = Arc::new(crate::fifo::Queue::default());
        let lease = crate::leases::Lease::new(&sink, &Fields::all());
        sink.add_queue(&queue, &lease);
        let (again, replayed) = (informer, Arc::clone(&queue));
        let resync = thread::spawn(move || {
            again.replay(&replayed);
            again.replay(&replayed);
        });
        let mut told = Told::default();
        while !told.known.contains_key("end") {
            match queue.pop() {
                Some(Popped { delta, .. }) => told.take(&delta),
                None => block_on(queue.wake.notified()),
            }
        }
        resync.join().unwrap();
        while let Some(Popped { delta, .. }) = queue.pop() {
            told.take(&delta);
        }
        assert_eq!(told.all(), LAST);
        reflector.join().unwrap();
    });
}
