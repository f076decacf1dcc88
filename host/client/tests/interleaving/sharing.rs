//! Two revisions of a plugin, over two stores that are not equally far.

use std::sync::Arc;

use shuttle::thread;
use wheelhouse_core::Fields;

use crate::order::in_many_orders;
use crate::overlay::OwnWrites;
use crate::server::{Server, Worker, cached, reflect, store};
use crate::sync::Mutex;

#[test]
fn a_revision_that_starts_knows_what_the_one_before_has_written() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a", "b"]));
        let writes = OwnWrites::default();
        let ((first_sink, first), (second_sink, second)) = (store(), store());
        let (list, version, first_watch) = server.list_and_watch();
        let (_, _, second_watch) = server.list_and_watch();
        // Neither hears more before the end: what the plugin knows is known of nothing but its answers.
        for sink in [&first_sink, &second_sink] {
            sink.replace(list.clone(), &[], &version, &Fields::all());
        }
        let running = cached(&first, &writes);
        let mut worker = Worker::new(&server, &writes, &running);
        let started = Arc::new(Mutex::new(None));
        let (own, put) = (writes.clone(), Arc::clone(&started));
        let starting = thread::spawn(move || *put.lock().unwrap() = Some(cached(&second, &own)));
        worker.put("a");
        worker.delete("b");
        starting.join().unwrap();
        let next = started.lock().unwrap().take().unwrap();
        // What the plugin knows, its next revision does.
        worker.cached = next;
        worker.look("a");
        worker.look("b");
        worker.put("b'");
        let next = std::mem::replace(&mut worker.cached, running);
        worker.look("b");
        server.close();
        let reflectors = [(first_sink, first_watch), (second_sink, second_watch)];
        let reflectors =
            reflectors.map(|(sink, watch)| thread::spawn(move || reflect(&sink, Vec::new(), "", &watch)));
        // Each is as far as its store is.
        worker.look("b");
        let mut other = worker.clone();
        other.cached = next;
        other.look("b");
        reflectors.into_iter().for_each(|reflector| reflector.join().unwrap());
        worker.look("b");
        other.look("b");
    });
}

#[test]
fn views_of_one_store_share_what_is_known() {
    in_many_orders(|| {
        let server = Arc::new(Server::new(&["a"]));
        let writes = OwnWrites::default();
        let (sink, informer) = store();
        let (list, version, _watch) = server.list_and_watch();
        sink.replace(list, &[], &version, &Fields::all());
        let [one, other] = [(); 2].map(|()| {
            let (informer, writes) = (informer.clone(), writes.clone());
            thread::spawn(move || cached(&informer, &writes))
        });
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        assert!(Arc::ptr_eq(&one.views[0].overlay, &other.views[0].overlay));
        let mut worker = Worker::new(&server, &writes, &one);
        worker.put("a");
        worker.cached = other;
        worker.look("a");
    });
}
