//! A plugin's workers write and read while the watch brings what they did, sooner or later.

use std::sync::Arc;

use shuttle::thread;

use crate::list_watch::Unreadable;
use crate::order::in_many_orders;
use crate::overlay::OwnWrites;
use crate::server::{Server, Worker, cached, kind, reflect, store};
use crate::view::Found;
use crate::world::{key, object};

#[test]
fn a_plugin_reads_what_it_wrote_and_nothing_older() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a", "b"]));
        let (sink, informer) = store();
        let (list, version, watch) = server.list_and_watch();
        sink.replace(list, &[], &version, &wheelhouse_core::Fields::all());
        let reflected = Arc::clone(&sink);
        let reflector = thread::spawn(move || reflect(&reflected, Vec::new(), "", &watch));
        let writes = OwnWrites::default();
        let cached = cached(&informer, &writes);
        let mut other = Worker::new(&server, &writes, &cached);
        let others = [
            thread::spawn(move || {
                other.put("b");
                other.look("a");
            }),
            thread::spawn({
                // Somebody else's.
                let server = Arc::clone(&server);
                move || server.update("a")
            }),
        ];
        let mut worker = Worker::new(&server, &writes, &cached);
        worker.put("a");
        worker.look("b");
        others.into_iter().for_each(|other| other.join().unwrap());
        server.close();
        reflector.join().unwrap();
        worker.look("a");
        assert!(worker.view().overlay.snapshot().1.is_empty(), "the store has it all");
        assert_eq!(worker.view().overlay.len(), 0);
    });
}

#[test]
fn a_plugin_does_not_read_what_it_deleted() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a", "b"]));
        let (sink, informer) = store();
        let (list, version, watch) = server.list_and_watch();
        sink.replace(list, &[], &version, &wheelhouse_core::Fields::all());
        let reflected = Arc::clone(&sink);
        let reflector = thread::spawn(move || reflect(&reflected, Vec::new(), "", &watch));
        let writes = OwnWrites::default();
        let cached = cached(&informer, &writes);
        let mut other = Worker::new(&server, &writes, &cached);
        let reader = thread::spawn(move || {
            other.read_live("a");
            other.look("a");
        });
        let mut worker = Worker::new(&server, &writes, &cached);
        worker.delete("a");
        worker.put("a'");
        worker.delete("a");
        reader.join().unwrap();
        worker.look("a");
        server.close();
        reflector.join().unwrap();
        worker.look("a");
        worker.look("b");
        assert!(sink.store.get(&key("a")).is_none());
    });
}

#[test]
fn an_answer_that_was_overtaken_undoes_nothing() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a"]));
        let (sink, informer) = store();
        let (list, version, watch) = server.list_and_watch();
        sink.replace(list, &[], &version, &wheelhouse_core::Fields::all());
        let writes = OwnWrites::default();
        let cached = cached(&informer, &writes);
        // The watch brings none of this before the end.
        server.update("a");
        let mut other = Worker::new(&server, &writes, &cached);
        let reader = thread::spawn(move || {
            other.read_live("a");
            other.look("a");
            other
        });
        let mut worker = Worker::new(&server, &writes, &cached);
        worker.delete("a");
        worker.put("a'");
        let other = reader.join().unwrap();
        server.close();
        let reflector = thread::spawn(move || reflect(&sink, Vec::new(), "", &watch));
        for mut worker in [worker, other] {
            worker.look("a");
        }
        reflector.join().unwrap();
    });
}

#[test]
fn the_answer_of_an_earlier_deletion_undoes_no_later_one() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a"]));
        let (earlier, _) = server.delete("a");
        server.put("a'");
        let (sink, informer) = store();
        let (list, version, watch) = server.list_and_watch();
        sink.replace(list, &[], &version, &wheelhouse_core::Fields::all());
        let writes = OwnWrites::default();
        let cached = cached(&informer, &writes);
        let mut worker = Worker::new(&server, &writes, &cached);
        let late = thread::spawn(move || writes.learn_gone(&kind(), &key("a"), &earlier));
        worker.delete("a");
        late.join().unwrap();
        worker.look("a");
        server.close();
        let reflector = thread::spawn(move || reflect(&sink, Vec::new(), "", &watch));
        worker.look("a");
        reflector.join().unwrap();
        worker.look("a");
    });
}

#[test]
fn what_was_read_before_the_store_had_synced_is_not_undone_once_it_has() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a"]));
        let (sink, informer) = store();
        // An old list: what happened since comes by the watch.
        let (list, version, watch) = server.list_and_watch();
        let reflector = thread::spawn(move || reflect(&sink, list, &version, &watch));
        let writes = OwnWrites::default();
        let cached = cached(&informer, &writes);
        let workers = [(); 2].map(|()| {
            let mut worker = Worker::new(&server, &writes, &cached);
            thread::spawn(move || {
                worker.read_live("a");
                if worker.cached.ready() {
                    worker.look("a");
                }
                worker
            })
        });
        server.update("a");
        server.update("a");
        let workers = workers.map(|worker| worker.join().unwrap());
        server.close();
        reflector.join().unwrap();
        for mut worker in workers {
            assert!(worker.cached.ready(), "the store has seen all that was read");
            worker.look("a");
        }
    });
}

#[test]
fn what_cannot_be_read_for_a_while_is_never_taken_for_absent() {
    let unreadable = Unreadable { key: Some(key("a")), reason: "no".into() };
    let states = [object("a@1"), object("a@3"), object("a@5")];
    in_many_orders(move || {
        let (sink, informer) = store();
        sink.replace(vec![states[0].clone()], &[], "1", &wheelhouse_core::Fields::all());
        let (unreadable, states) = (unreadable.clone(), states.clone());
        let reflector = thread::spawn(move || {
            sink.unreadable(&unreadable, false, "2");
            sink.upsert(states[1].clone());
            sink.unreadable(&unreadable, false, "4");
            sink.upsert(states[2].clone());
        });
        let cached = cached(&informer, &OwnWrites::default());
        for _ in 0..3 {
            let found = cached.views[0].get(&key("a"), Default::default());
            assert!(!matches!(found, Ok(Found::Absent | Found::Unknown)), "it was there all the time");
        }
        reflector.join().unwrap();
    });
}
