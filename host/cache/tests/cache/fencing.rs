//! Writes of who may write no longer than a fence is open.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::poll;
use http::Method;
use tokio::sync::Notify;
use wheelhouse_cache::{Failure, Rest, rest};
use wheelhouse_core::{Fence, Moment};

use crate::http::{Server, on};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
const PATH: &str = "/api/v1/namespaces/n/pods/a";

fn fenced(server: &Server, fence: &Fence) -> Rest {
    Rest::new(rest::connect(kube::Config::new(server.uri.clone())).unwrap()).fenced(fence)
}

async fn send(rest: &Rest, method: Method) -> Result<Bytes, Failure> {
    let body = (method != Method::GET).then(|| ("application/json", b"{}".to_vec()));
    rest.send(method, PATH, body, LONG).await
}

/// One whose end is far away.
fn open() -> Fence {
    let fence = Fence::closed();
    fence.open_until(Moment::now() + LONG);
    fence
}

/// What comes of a write whose answer is awaited when something happens to the fence.
async fn when_under_way(happens: impl FnOnce(&Fence)) -> Result<Bytes, Failure> {
    let server = Server::start([on(format!("PUT {PATH}")).falls_silent()]).await;
    let fence = open();
    let rest = fenced(&server, &fence);
    let under_way = async {
        server.finished().await;
        happens(&fence);
    };
    let (answer, ()) = tokio::join!(send(&rest, Method::PUT), under_way);
    let counts = rest.requests().counts();
    assert!(matches!(&*counts, [(code, "PUT", _, 1)] if code == "<error>"), "{counts:?}");
    answer
}

#[tokio::test]
async fn a_closed_fence_lets_reads_through_and_no_write_reaches_the_server() {
    let server = Server::start([on(PATH).ok("{}")]).await;
    for fence in [Fence::closed(), open()] {
        fence.close();
        let rest = fenced(&server, &fence);
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let refused = send(&rest, method).await.unwrap_err();
            assert!(matches!(refused, Failure::Fenced(_)), "{refused:?}");
            assert!(refused.to_string().contains("nothing was sent"), "{refused}");
        }
        assert_eq!((server.asked(), rest.requests().counts()), (0, vec![]));
    }
    let rest = fenced(&server, &Fence::closed());
    assert_eq!(send(&rest, Method::GET).await.unwrap(), "{}");
    server.finished().await;
}

#[tokio::test]
async fn a_write_is_given_up_when_the_fence_ends_by_itself_and_when_it_is_closed_before() {
    let ends: fn(&Fence) = |fence| fence.open_until(Moment::now() + Duration::from_millis(1));
    for happens in [ends, Fence::close] {
        let given_up = when_under_way(happens).await.unwrap_err();
        assert!(matches!(given_up, Failure::GivenUp(_)), "{given_up:?}");
        assert!(
            given_up.to_string().contains("whether the write was carried out is not known"),
            "{given_up}"
        );
    }
}

#[tokio::test]
async fn a_write_whose_thread_was_kept_from_running_until_the_fence_had_closed_is_not_sent() {
    // If the PUT came, it would come before the GET, which the script does not allow.
    let server = Server::start([on(PATH).ok("{}")]).await;
    let fence = open();
    let rest = fenced(&server, &fence);
    let mut write = pin!(send(&rest, Method::PUT));
    assert!(poll!(&mut write).is_pending());
    // It could go on by now, and nobody polls it.
    tokio::task::yield_now().await;
    fence.close();
    let given_up = write.await.unwrap_err();
    assert!(matches!(given_up, Failure::Fenced(_) | Failure::GivenUp(_)), "{given_up:?}");
    assert_eq!(send(&rest, Method::GET).await.unwrap(), "{}");
    server.finished().await;
}

#[tokio::test]
async fn a_write_goes_on_past_the_end_that_the_fence_had_when_it_was_sent_if_that_was_moved_on() {
    let answer = Arc::<Notify>::default();
    let server = Server::start([on(format!("PUT {PATH}")).when(&answer).ok("{}")]).await;
    let fence = open();
    let end = Moment::now() + Duration::from_secs(1);
    fence.open_until(end);
    let rest = fenced(&server, &fence);
    let mut write = pin!(send(&rest, Method::PUT));
    assert!(poll!(&mut write).is_pending());
    fence.open_until(end + LONG);
    let after_the_end = async {
        server.until("that end has passed", || Moment::now() > end + Duration::from_millis(200)).await;
        answer.notify_one();
    };
    let (written, ()) = tokio::join!(write, after_the_end);
    assert_eq!(written.unwrap(), "{}");
    server.finished().await;
}

#[tokio::test]
async fn a_write_that_the_server_does_not_answer_ends_at_its_own_deadline_while_the_fence_is_open() {
    let server = Server::start([on(format!("PUT {PATH}")).falls_silent()]).await;
    let within = Duration::from_millis(250);
    let body = Some(("application/json", b"{}".to_vec()));
    let answer = fenced(&server, &open()).send(Method::PUT, PATH, body, within).await;
    assert_eq!(answer, Err(Failure::TimedOut(within)));
}
