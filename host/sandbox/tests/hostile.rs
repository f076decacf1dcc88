//! A plugin with bad manners: what becomes of it, and of its neighbour.
#![cfg(test)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::outcome::Request;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Key, Object, Outcome, Permitted};
use wheelhouse_sandbox::{
    CallError, Compiled, DescribeError, Event, Revision, RevisionSetup, Sandbox, SandboxConfig,
};

/// A cluster without objects that can be read, which remembers what was asked of it. It never syncs.
#[derive(Default)]
struct Nothing {
    asked: Mutex<Vec<String>>,
    unreadable: Mutex<Vec<Key>>,
}

impl Nothing {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl ClusterAccess for Nothing {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("get {} {}", request.kind, request.key));
        Box::pin(async { Ok(None) })
    }
    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        self.note(format!("list {}", request.kind));
        let left = |key: &Key| request.after.as_ref().is_none_or(|after| key > after);
        let unreadable = self.unreadable.lock().unwrap().iter().filter(|key| left(key)).cloned().collect();
        Box::pin(async { Ok(Page { objects: Vec::new(), more_after: None, unreadable }) })
    }
    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        Box::pin(async move {
            match request.matches.first() {
                Some(m) => {
                    Err(ApiError::UndeclaredIndex { index: m.index.clone(), kind: request.kind.to_string() })
                }
                None => Ok(0),
            }
        })
    }
    fn synced(&self, request: Permitted<Synced>) -> bool {
        self.note(format!("synced {}", request.kind));
        false
    }
    fn wait_synced(&self, request: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool> {
        self.note(format!("wait {}", request.kind));
        Box::pin(async move {
            tokio::time::sleep(within).await;
            false
        })
    }
    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.get(request)
    }
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("{} {} {}", request.change.verb(), request.kind, request.key));
        Box::pin(async { Ok(None) })
    }
}

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(SandboxConfig::default()).unwrap())
}

/// The hostile plugin, compiled once for all tests of this process.
async fn compiled() -> Compiled {
    static COMPILED: tokio::sync::OnceCell<Compiled> = tokio::sync::OnceCell::const_new();
    let compile = async || {
        let folder = std::env::var_os("WHEELHOUSE_PLUGINS_DIR")
            .expect("WHEELHOUSE_PLUGINS_DIR names the built plugins: run `cargo xtask test`");
        let file = PathBuf::from(folder).join("hostile.wasm");
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        sandbox().compile(Arc::from(bytes)).await.unwrap()
    };
    COMPILED.get_or_init(compile).await.clone()
}

fn limits() -> Limits {
    Limits {
        reconcile_timeout: Duration::from_millis(400),
        describe_timeout: Duration::from_millis(400),
        map_timeout: Duration::from_millis(400),
        ..Default::default()
    }
}

async fn start() -> (Arc<Revision>, Arc<Nothing>) {
    let compiled = compiled().await;
    let spec = Arc::new(compiled.describe("{}", &Limits::default()).await.unwrap());
    let cluster = Arc::new(Nothing::default());
    let setup = RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
        spec,
        config: "{}".into(),
        cluster: Arc::clone(&cluster) as Arc<_>,
        limits: limits(),
        usage: Arc::new(Usage::new(&limits())),
    };
    (Arc::new(compiled.start(setup)), cluster)
}

async fn reconcile(revision: &Revision, name: &str) -> Result<Outcome, CallError> {
    let key = Key::new("default", name);
    revision.reconcile(Request { key, reconcile_id: "1".to_owned(), attempt: 1 }).await
}

fn reason(result: Result<Outcome, CallError>) -> String {
    match result {
        Err(CallError::Trap { reason, .. }) => reason,
        other => panic!("a trap was expected, not {other:?}"),
    }
}

/// Runs the attack, and a neighbour beside it, which must not notice. What became of the attack.
async fn beside_a_neighbour(attack: &str) -> Result<Outcome, CallError> {
    let ((hostile, _), (neighbour, _)) = (start().await, start().await);
    assert_eq!(reconcile(&neighbour, "ok").await, Ok(Outcome::Done));
    let attacking = tokio::spawn({
        let (hostile, attack) = (Arc::clone(&hostile), attack.to_owned());
        async move { reconcile(&hostile, &attack).await }
    });
    let begun = Instant::now();
    let mut served = 0;
    while !attacking.is_finished() && begun.elapsed() < Duration::from_secs(20) {
        assert_eq!(reconcile(&neighbour, "ok").await, Ok(Outcome::Done));
        served += 1;
        tokio::task::yield_now().await;
    }
    assert!(served > 0);
    let result = attacking.await.unwrap();
    // The attack has cost the instance that it ran in, and the next call has another.
    assert_eq!(hostile.instances(), 0, "after {result:?}");
    assert_eq!(reconcile(&hostile, "ok").await, Ok(Outcome::Done));
    assert_eq!(neighbour.traps(), 0);
    result
}

#[tokio::test]
async fn hostile_a_reconcile_that_spins_is_stopped_at_its_deadline() {
    // One thread for both: the neighbour is served since a spinning guest yields.
    let begun = Instant::now();
    let result = beside_a_neighbour("spin").await;
    assert_eq!(result, Err(CallError::Timeout(limits().reconcile_timeout, Limit::ReconcileTimeout)));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn hostile_a_reconcile_that_sleeps_is_stopped_at_its_deadline() {
    let result = beside_a_neighbour("sleep").await;
    assert_eq!(result, Err(CallError::Timeout(limits().reconcile_timeout, Limit::ReconcileTimeout)));
}

#[tokio::test]
async fn hostile_a_panic_is_a_trap_that_says_where() {
    match beside_a_neighbour("panic").await {
        Err(CallError::Trap { reason, backtrace }) => {
            assert!(reason.contains("unreachable"), "{reason}");
            assert!(backtrace.contains("hostile"), "{backtrace}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hostile_memory_is_limited_by_name() {
    let reason = reason(beside_a_neighbour("hoard").await);
    assert!(reason.contains("limit memory") && reason.contains(&limits().memory.to_string()), "{reason}");
}

#[tokio::test]
async fn hostile_endless_recursion_is_a_trap() {
    let reason = reason(beside_a_neighbour("recurse").await);
    assert!(reason.contains("call stack exhausted") || reason.contains("out of bounds"), "{reason}");
}

#[tokio::test]
async fn hostile_an_exit_ends_the_instance_and_not_the_host() {
    reason(beside_a_neighbour("exit").await);
}

#[tokio::test]
async fn hostile_what_was_not_declared_is_denied_and_spelled_out() {
    let (revision, cluster) = start().await;
    for (attack, missing) in [
        ("undeclared-kind", "may not get v1/Secret in namespace default"),
        ("undeclared-live", "may not get v1/Secret in namespace default"),
        ("undeclared-list", "may not list v1/Secret in namespace default"),
        ("undeclared-cached", "may not get v1/Secret in namespace default"),
        ("undeclared-synced", "may not list v1/Secret"),
        ("undeclared-wait", "may not list v1/Secret"),
        ("undeclared-update", "may not update v1/ConfigMap in namespace default"),
        ("undeclared-apply", "may not patch v1/Secret in namespace default"),
        ("undeclared-verb", "may not delete v1/ConfigMap in namespace default"),
        ("undeclared-namespace", "may not get v1/ConfigMap in namespace kube-system"),
        ("undeclared-subresource", "may not patch v1/ConfigMap/status in namespace default"),
        ("all-namespaces", "may not list v1/ConfigMap in all namespaces"),
        ("other-namespace-in-object", "may not create v1/ConfigMap in namespace kube-system"),
        ("other-manager", "may not apply as field manager \"kubectl\""),
    ] {
        let outcome = reconcile(&revision, attack).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Terminal(text) if text.contains(missing)),
            "{attack}: {outcome:?}"
        );
    }
    assert!(cluster.asked.lock().unwrap().is_empty(), "{:?}", cluster.asked);
    assert_eq!(revision.traps(), 0);
}

#[tokio::test]
async fn hostile_arguments_that_make_no_sense_get_an_error() {
    let (revision, cluster) = start().await;
    for (attack, message) in [
        ("undeclared-index", "none"),
        ("other-object", "the object's kind is not that of v1/ConfigMap"),
        ("large-argument", "limit argumentBytes"),
        ("bad-kind", "names no kind"),
        ("bad-selector", "at byte"),
        ("bad-field-selector", "field selector \"a=b=c\", at byte 3"),
        ("large-field-selector", "limit argumentBytes"),
    ] {
        let outcome = reconcile(&revision, attack).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Terminal(text) if text.contains(message)),
            "{attack}: {outcome:?}"
        );
    }
    assert!(cluster.asked.lock().unwrap().is_empty(), "{:?}", cluster.asked);
}

#[tokio::test]
async fn hostile_describe_has_no_authority_and_a_small_budget() {
    let compiled = compiled().await;
    let describe = async |what: &str| {
        compiled.describe(&format!(r#"{{"describe":"{what}"}}"#), &limits()).await.unwrap_err()
    };
    for what in ["spin", "sleep"] {
        let error = describe(what).await;
        assert!(
            matches!(error, DescribeError::Call(CallError::Timeout(_, Limit::DescribeTimeout))),
            "{what}: {error}"
        );
    }
    for (what, why) in [
        ("panic", "unreachable"),
        ("read", "describe and index may use no import"),
        ("hoard", "limit memory"),
    ] {
        let error = describe(what).await;
        assert!(matches!(&error, DescribeError::Call(CallError::Trap { .. })), "{what}: {error}");
        assert!(error.to_string().contains(why), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_rejected_names_the_field() {
    let error = compiled().await.describe(r#"{"concurrency":"many"}"#, &limits()).await.unwrap_err();
    assert!(matches!(&error, DescribeError::Config { field, .. } if field == ".concurrency"), "{error}");
    let error = compiled().await.describe(r#"{"name":"Not A Label"}"#, &limits()).await.unwrap_err();
    assert!(matches!(error, DescribeError::Spec(_)), "{error}");
    let error = compiled().await.describe(r#"{"kind":"no kind"}"#, &limits()).await.unwrap_err();
    assert!(matches!(&error, DescribeError::Unreadable(text) if text.contains("no kind")), "{error}");
}

#[tokio::test]
async fn a_source_that_makes_no_sense_is_refused_with_what_is_wrong() {
    for (what, problem) in [
        ("cache-with-predicate", "v1/Pod is among caches, of whose events no request comes"),
        ("bad-field", "field path \"spec..nodeName\", at byte 4"),
        ("bad-field-selector", "field selector \"spec.nodeName\", at byte 0"),
        ("many-fields", "a source of v1/Pod declares 1000 fields, at most 256 may be"),
    ] {
        let config = format!(r#"{{"describe":"{what}"}}"#);
        let error = compiled().await.describe(&config, &Limits::default()).await.unwrap_err();
        assert!(matches!(error, DescribeError::Unreadable(_) | DescribeError::Spec(_)), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn hostile_a_wait_ends_before_its_call_does() {
    let (revision, cluster) = start().await;
    let outcome = reconcile(&revision, "wait").await;
    assert_eq!(outcome, Ok(Outcome::Terminal("not synced".to_owned())));
    assert_eq!(*cluster.asked.lock().unwrap(), ["wait v1/ConfigMap"]);
    assert_eq!(revision.traps(), 0);
}

#[tokio::test]
async fn all_objects_that_cannot_be_read_are_told_of_in_bounded_pages() {
    let (revision, cluster) = start().await;
    let (pages, more) = (3, 7);
    let count = pages * limits().page_items + more;
    cluster.unreadable.lock().unwrap().extend((0..count).map(|i| Key::new("default", format!("{i:06}"))));
    let outcome = reconcile(&revision, "iterate").await;
    assert_eq!(outcome, Ok(Outcome::Terminal(format!("0 and {count} unreadable"))));
    assert_eq!(cluster.asked.lock().unwrap().len(), pages as usize + 1);
}

fn service(name: &str) -> Event {
    let object = serde_json::json!({"metadata": {"namespace": "default", "name": name}});
    Event {
        kind: "v1/Service".parse().unwrap(),
        key: Key::new("default", name),
        old: None,
        new: Some(Object::from_value(&object).unwrap()),
    }
}

#[tokio::test]
async fn hostile_map_may_read_and_may_not_write() {
    let (revision, cluster) = start().await;
    assert_eq!(revision.map("services", service("web")).await, Ok(vec![Key::new("default", "web")]));
    let error = revision.map("services", service("write")).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("may not write")),
        "{error:?}"
    );
    assert!(cluster.asked.lock().unwrap().is_empty());
    let error = revision.map("services", service("spin")).await.unwrap_err();
    assert_eq!(error, CallError::Timeout(limits().map_timeout, Limit::MapTimeout));
}

#[tokio::test]
async fn hostile_an_index_function_that_fails_costs_its_call() {
    let (revision, _) = start().await;
    let object = |name: &str| service(name).new.unwrap();
    assert_eq!(revision.index("own", &object("web")).await, Ok(vec!["web".to_owned()]));
    for name in ["index-spin", "index-panic", "index-read"] {
        assert!(revision.index("own", &object(name)).await.is_err(), "{name}");
    }
    assert_eq!(revision.index("own", &object("web")).await, Ok(vec!["web".to_owned()]));
}

#[tokio::test]
async fn an_instance_is_reused_until_it_is_dropped() {
    let (revision, _) = start().await;
    for _ in 0..10 {
        assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    }
    assert_eq!((revision.instances(), revision.instances_created()), (1, 1));
    revision.drop_idle();
    assert_eq!(revision.instances(), 0);
    assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    assert_eq!(revision.instances_created(), 2);
}

/// What a log line's writer has kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn hostile_log_lines_cannot_be_forged_and_carry_their_call() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (revision, _) = start().await;
    assert_eq!(reconcile(&revision, "log").await, Ok(Outcome::Done));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 2, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    assert!(all.iter().all(|line| line.contains("hostile") && line.contains("default/log")), "{text}");
    assert!(all[1].contains("printed"), "{text}");
}
