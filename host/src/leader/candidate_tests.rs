//! A candidate beside a server that keeps one Lease and can be made to fail.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing_subscriber::fmt::MakeWriter;
use wheelhouse_cache::{Rest, rest};
use wheelhouse_core::{Fence, Moment};

use super::candidate::{Candidate, Held};
use super::elector::Timings;
use super::neighbours::{self, Elsewhere, Neighbour};
use super::record::{Lease, Record, new_lease, note, set_note};
use super::settings::Settings;

const MS: Duration = Duration::from_millis(1);

/// What the server does with a request, beside what is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Answers,
    Refuses(u16),
    /// It does what is asked, and does not say so.
    Fails,
}

/// What it does with a request of this method.
type Doing = fn(&Method) -> Does;

#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    versions: u64,
    asked: Vec<Method>,
}

/// See the module.
#[derive(Clone)]
struct Server {
    kept: Arc<Mutex<Kept>>,
    does: Arc<Mutex<Doing>>,
    rest: Rest,
}

fn status(code: u16, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "code": code, "message": message});
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

async fn serve(State(server): State<Server>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.query().is_some_and(|query| query.contains("watch=")) {
        std::future::pending::<()>().await;
    }
    let does = (*server.does.lock().unwrap())(&parts.method);
    let lists = parts.method == Method::GET && parts.uri.path().ends_with("/leases");
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut kept = server.kept.lock().unwrap();
    kept.asked.push(parts.method.clone());
    if let Does::Refuses(code) = does {
        return status(code, "no, not now");
    }
    let answer = match parts.method {
        _ if lists => axum::Json(json!({"items": Vec::from_iter(&kept.lease)})).into_response(),
        Method::GET => match &kept.lease {
            Some(lease) => axum::Json(lease.clone()).into_response(),
            None => status(404, "no such lease"),
        },
        _ => {
            let mut lease: Value = serde_json::from_slice(&body).unwrap();
            kept.versions += 1;
            lease["metadata"]["resourceVersion"] = kept.versions.to_string().into();
            axum::Json(kept.lease.insert(lease).clone()).into_response()
        }
    };
    if does == Does::Fails { status(500, "what was that?") } else { answer }
}

impl Server {
    async fn start(does: Doing) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let rest = Rest::new(rest::connect(kube::Config::new(uri)).unwrap());
        let server = Self { kept: Arc::default(), does: Arc::new(Mutex::new(does)), rest };
        let router = Router::new().fallback(serve).with_state(server.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        server
    }

    fn now_does(&self, does: Doing) {
        *self.does.lock().unwrap() = does;
    }

    fn asked(&self, method: &Method) -> usize {
        self.kept.lock().unwrap().asked.iter().filter(|asked| *asked == method).count()
    }

    fn record(&self) -> Option<Record> {
        self.kept.lock().unwrap().lease.as_ref().map(|lease| Lease::read(lease).record)
    }

    fn candidate(&self, settings: &Settings) -> Arc<Candidate> {
        Candidate::start("l".to_owned(), Fence::closed(), settings, &self.rest, watch::channel(true).1)
    }
}

fn settings(renew_deadline: Duration, retry_period: Duration) -> Settings {
    Settings {
        namespace: "ns".to_owned(),
        name: "l".to_owned(),
        per_plugin: false,
        identity: "me".to_owned(),
        timings: Timings { lease_duration: 2 * renew_deadline, renew_deadline, retry_period },
        held: Held::default(),
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(MS).await;
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Of this thread, on which a test has all its tasks.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
        (log, tracing::subscriber::set_default(lines.finish()))
    }

    fn lines(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn without_its_namespace_a_lease_is_waited_for_and_the_log_says_so_once() {
    let (log, _guard) = Log::start();
    let server = Server::start(|_| Does::Refuses(404)).await;
    let candidate = server.candidate(&settings(1000 * MS, 10 * MS));
    eventually("it was tried a few times", || server.asked(&Method::POST) > 3).await;
    let said = log.lines("WARN");
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["namespace ns", "create it", "--lease-namespace", "no, not now"] {
        assert!(said[0].contains(part), "{part}: {said:?}");
    }
    server.now_does(|_| Does::Answers);
    eventually("it leads once there is one", || candidate.standing().leads).await;
}

#[tokio::test]
async fn a_leader_whose_namespace_is_deleted_asks_no_more_often_than_one_that_renews() {
    let server = Server::start(|_| Does::Answers).await;
    let candidate = server.candidate(&settings(2000 * MS, 100 * MS));
    eventually("it leads", || candidate.standing().leads).await;
    server.now_does(|_| Does::Refuses(404));
    let asked = || server.kept.lock().unwrap().asked.len();
    let before = asked();
    eventually("it has lost its lease", || !candidate.standing().leads).await;
    // A read and a write each retry period.
    assert!(asked() - before < 60, "{} requests", asked() - before);
}

#[tokio::test]
async fn the_log_says_once_that_a_lease_cannot_be_written_though_it_can_be_read() {
    let (log, _guard) = Log::start();
    let readable = |method: &Method| if method == Method::GET { Does::Answers } else { Does::Refuses(403) };
    let server = Server::start(readable).await;
    let candidate = server.candidate(&settings(1000 * MS, 5 * MS));
    eventually("it was tried a few times", || server.asked(&Method::POST) > 3).await;
    assert_eq!(log.lines("get, create and update").len(), 1, "{:?}", log.lines(""));
    // Once it has led, the same trouble is news.
    server.now_does(|_| Does::Answers);
    eventually("it leads", || candidate.standing().leads).await;
    server.now_does(readable);
    let puts = server.asked(&Method::PUT);
    eventually("it was tried a few times", || server.asked(&Method::PUT) > puts + 3).await;
    assert_eq!(log.lines("get, create and update").len(), 2, "{:?}", log.lines(""));
}

#[tokio::test]
async fn a_lease_that_was_got_without_an_answer_is_given_back_at_the_end() {
    let got = |method: &Method| if method == Method::GET { Does::Answers } else { Does::Fails };
    let server = Server::start(got).await;
    let candidate = server.candidate(&settings(100_000 * MS, 50_000 * MS));
    eventually("it was got", || server.record().is_some_and(|record| record.holder == "me")).await;
    assert!(!candidate.standing().leads);
    candidate.end().await;
    assert_eq!(server.record().unwrap().holder, "");
    // That write was not answered either, and was looked after.
    assert!(server.asked(&Method::GET) >= 3, "{:?}", server.kept.lock().unwrap().asked);
}

#[tokio::test]
async fn a_lease_that_another_one_holds_is_left_alone_at_the_end() {
    let server = Server::start(|_| Does::Answers).await;
    let mut lease = new_lease("ns", "l");
    lease["metadata"]["resourceVersion"] = "7".into();
    lease["spec"] = json!({"holderIdentity": "other", "leaseDurationSeconds": 60});
    server.kept.lock().unwrap().lease = Some(lease.clone());
    let candidate = server.candidate(&settings(1000 * MS, 10 * MS));
    eventually("it has seen that", || candidate.standing().holder == "other").await;
    candidate.end().await;
    assert_eq!(server.kept.lock().unwrap().lease, Some(lease));
}

#[tokio::test]
async fn a_lease_is_not_stood_for_before_it_may_be() {
    let server = Server::start(|_| Does::Answers).await;
    let settings = settings(1000 * MS, 5 * MS);
    for begins in [false, true] {
        let (begin, waits) = watch::channel(false);
        let candidate = Candidate::start("l".to_owned(), Fence::closed(), &settings, &server.rest, waits);
        if begins {
            begin.send_replace(true);
            eventually("it leads", || candidate.standing().leads).await;
        }
        candidate.end().await;
        assert_eq!(server.asked(&Method::GET) > 0, begins);
    }
}

#[tokio::test]
async fn what_other_hosts_run_is_known_once_the_server_says_it() {
    let server = Server::start(|_| Does::Refuses(500)).await;
    let settings = Settings { per_plugin: true, ..settings(1000 * MS, 5 * MS) };
    let known = neighbours::follow(settings, server.rest.clone());
    eventually("it was asked a few times", || server.asked(&Method::GET) > 3).await;
    assert_eq!(*known.borrow(), Elsewhere::Unknown);
    let mut lease = new_lease("ns", "l-q");
    lease["spec"] = json!({"holderIdentity": "other", "leaseDurationSeconds": 60});
    set_note(&mut lease, Some(&json!({"plugin": "q"})));
    server.kept.lock().unwrap().lease = Some(lease);
    server.now_does(|_| Does::Answers);
    let note = Some(json!({"plugin": "q", "holder": "other"}));
    let expected = Elsewhere::Known(vec![Neighbour { lease: "l-q".to_owned(), note }]);
    eventually("it is known", || *known.borrow() == expected).await;
}

#[tokio::test]
async fn where_hosts_may_not_list_leases_nothing_is_known_of_others_and_the_log_says_so_once() {
    let (log, _guard) = Log::start();
    let server = Server::start(|_| Does::Refuses(403)).await;
    let settings = Settings { per_plugin: true, ..settings(1000 * MS, 5 * MS) };
    let known = neighbours::follow(settings, server.rest.clone());
    eventually("it was asked a few times", || server.asked(&Method::GET) > 3).await;
    assert_eq!(*known.borrow(), Elsewhere::Hidden);
    assert_eq!(log.lines("the host needs list of leases").len(), 1, "{:?}", log.lines(""));
}

#[tokio::test]
async fn where_leases_cannot_be_listed_for_as_long_as_one_lasts_hosts_work_all_the_same() {
    let (log, _guard) = Log::start();
    let server = Server::start(|_| Does::Refuses(500)).await;
    let settings = Settings { per_plugin: true, ..settings(50 * MS, 5 * MS) };
    let known = neighbours::follow(settings, server.rest.clone());
    eventually("it gives up", || *known.borrow() == Elsewhere::Hidden).await;
    assert_eq!(log.lines("what other hosts run is not known").len(), 1, "{:?}", log.lines(""));
    server.now_does(|_| Does::Answers);
    eventually("it is known", || *known.borrow() == Elsewhere::Known(Vec::new())).await;
}

#[tokio::test]
async fn who_holds_a_lease_has_its_note_on_it_until_it_gives_it_back() {
    let server = Server::start(|_| Does::Answers).await;
    let candidate = server.candidate(&settings(1000 * MS, 5 * MS));
    let noted = || note(server.kept.lock().unwrap().lease.as_ref()?);
    for what in ["this", "that"] {
        candidate.note(Some(json!({"plugin": what})));
        let expected = json!({"plugin": what, "holder": "me"});
        eventually("it is noted", || noted().as_ref() == Some(&expected)).await;
    }
    candidate.end().await;
    let lease = server.kept.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["metadata"]["annotations"], json!({}));
}

#[tokio::test]
async fn a_host_holds_no_lease_any_more_whose_deadline_passed_while_it_was_given_back() {
    // Which of two things is seen first when both have come is left to chance.
    for _ in 0..10 {
        let server = Server::start(|_| Does::Answers).await;
        let settings = settings(100 * MS, 50 * MS);
        let candidate = server.candidate(&settings);
        eventually("it leads", || candidate.standing().leads).await;
        assert_eq!(settings.held.load(Ordering::Relaxed), 1);
        let end = async {
            candidate.end().await;
        };
        let keeps_the_thread = async {
            let deadline = Moment::now() + settings.timings.renew_deadline;
            while Moment::now() < deadline {
                std::hint::spin_loop();
            }
        };
        tokio::join!(end, keeps_the_thread);
        assert_eq!(settings.held.load(Ordering::Relaxed), 0);
    }
}
