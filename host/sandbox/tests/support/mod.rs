//! A plugin with bad manners, a cluster that remembers what it was asked, and a neighbour.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::outcome::Request;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Key, Object, Outcome, Permitted};
use wheelhouse_sandbox::{CallError, Compiled, Event, Revision, RevisionSetup, Sandbox, SandboxConfig};

/// A cluster without objects that can be read, which remembers what was asked of it. It never syncs.
#[derive(Default)]
pub(crate) struct Nothing {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) unreadable: Mutex<Vec<Key>>,
    /// The one object that there is, under every name.
    pub(crate) object: Mutex<Option<Object>>,
    /// What is done when the object is asked for.
    pub(crate) on_get: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Nothing {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl ClusterAccess for Nothing {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("get {} {}", request.kind, request.key));
        let on_get = self.on_get.lock().unwrap().clone();
        if let Some(on_get) = on_get {
            on_get();
        }
        let object = self.object.lock().unwrap().clone();
        Box::pin(async { Ok(object) })
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
    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        let event = request.event();
        let text = &event.text;
        let about = format!("{} {} in {}", event.regarding.kind, event.regarding.key, event.namespace());
        self.note(format!("record {about}: {} {} {:?}", text.reason(), text.action(), text.note()));
        Box::pin(async { Ok(()) })
    }
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note(format!("{} {} {}", request.change.verb(), request.kind, request.key));
        Box::pin(async { Ok(None) })
    }
}

pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(SandboxConfig::default()).unwrap())
}

/// The hostile plugin, compiled once for all tests of this process.
pub(crate) async fn compiled() -> Compiled {
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

/// Times that a busy machine does not exceed.
pub(crate) fn limits() -> Limits {
    let long = Duration::from_secs(20);
    Limits {
        reconcile_timeout: long,
        describe_timeout: long,
        map_timeout: long,
        index_timeout: long,
        reconcile_cpu: long,
        call_cpu: long,
        cpu_per_second: long,
        ..Default::default()
    }
}

/// Likewise, of a plugin that never leaves the test's own thread, which alone has the test's log.
#[allow(dead_code, reason = "not every test looks at the log")]
pub(crate) fn on_this_thread() -> Limits {
    let limits = limits();
    Limits { prompt_cpu_per_second: limits.cpu_per_second, ..limits }
}

/// Times that an attack is to exceed.
pub(crate) fn hasty() -> Limits {
    let short = Duration::from_millis(400);
    Limits {
        reconcile_timeout: short,
        describe_timeout: short,
        map_timeout: short,
        index_timeout: short,
        ..limits()
    }
}

/// A plugin that is held to these limits.
pub(crate) async fn start() -> (Arc<Revision>, Arc<Nothing>) {
    let (revision, cluster, _) = start_with(limits()).await;
    (revision, cluster)
}

/// Likewise, of others, with what it uses of them.
pub(crate) async fn start_with(limits: Limits) -> (Arc<Revision>, Arc<Nothing>, Arc<Usage>) {
    start_of(&compiled().await, limits).await
}

async fn start_of(compiled: &Compiled, limits: Limits) -> (Arc<Revision>, Arc<Nothing>, Arc<Usage>) {
    let spec = Arc::new(compiled.describe("{}", &Limits::default()).await.unwrap());
    let cluster = Arc::new(Nothing::default());
    let usage = Arc::new(Usage::new(&limits));
    let setup = RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
        spec,
        config: "{}".into(),
        cluster: Arc::clone(&cluster) as Arc<_>,
        usage: Arc::clone(&usage),
        metrics: Arc::default(),
        limits,
    };
    (Arc::new(compiled.start(setup)), cluster, usage)
}

pub(crate) async fn reconcile(revision: &Arc<Revision>, name: &str) -> Result<Outcome, CallError> {
    let key = Key::new("default", name);
    revision
        .reconcile(Request {
            key,
            reconcile_id: "1".to_owned(),
            attempt: 1,
            first_seen: std::time::SystemTime::UNIX_EPOCH,
        })
        .await
}

pub(crate) fn reason(result: Result<Outcome, CallError>) -> String {
    match result {
        Err(CallError::Trap { reason, .. }) => reason,
        other => panic!("a trap was expected, not {other:?}"),
    }
}

/// A plugin without fault beside an attack.
pub(crate) struct Neighbour(Arc<Revision>);

impl Neighbour {
    /// In the sandbox that the attackers are in.
    pub(crate) async fn start() -> Self {
        Self::of(&compiled().await).await
    }

    /// Of this code, which is that of the plugin with bad manners: it has good ones, too.
    pub(crate) async fn of(compiled: &Compiled) -> Self {
        Self(start_of(compiled, limits()).await.0)
    }

    /// What becomes of an attack. From before its begin until after its end every call of the neighbour comes to
    /// what it should come to.
    pub(crate) async fn beside<T>(&self, attack: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let working = async {
            loop {
                let last = over.get();
                assert_eq!(reconcile(&self.0, "ok").await, Ok(Outcome::Done), "of the neighbour");
                if last {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let attacking = async {
            let result = attack.await;
            over.set(true);
            result
        };
        let ((), result) = tokio::join!(working, attacking);
        assert_eq!(self.0.traps(), 0);
        result
    }
}

/// What becomes of a reconcile that is an attack, beside a neighbour.
pub(crate) async fn attacked(hostile: &Arc<Revision>, attack: &str) -> Result<Outcome, CallError> {
    Neighbour::start().await.beside(reconcile(hostile, attack)).await
}

/// Runs the attack under these limits, and a neighbour beside it, which must not notice. What became of
/// the attack.
pub(crate) async fn beside_a_neighbour(limits: Limits, attack: &str) -> Result<Outcome, CallError> {
    let hostile = start_with(limits).await.0;
    beside(&hostile, attack).await
}

/// Likewise, of a plugin that was started already.
pub(crate) async fn beside(hostile: &Arc<Revision>, attack: &str) -> Result<Outcome, CallError> {
    let attacking = async {
        let (hostile, attack) = (Arc::clone(hostile), attack.to_owned());
        tokio::spawn(async move { reconcile(&hostile, &attack).await }).await.unwrap()
    };
    let result = Neighbour::start().await.beside(attacking).await;
    // The attack has cost the instance that it ran in, and the next call has another.
    instances(hostile, 0).await;
    assert_eq!(reconcile(hostile, "ok").await, Ok(Outcome::Done));
    result
}

/// An event of a Service that came.
pub(crate) fn service(name: &str) -> Event {
    let object = serde_json::json!({"metadata": {"namespace": "default", "name": name}});
    Event {
        kind: "v1/Service".parse().unwrap(),
        key: Key::new("default", name),
        old: None,
        new: Some(Object::from_value(&object).unwrap()),
    }
}

/// Waits until so many exist: one that was stopped in the background ends soon after its call.
pub(crate) async fn instances(revision: &Revision, count: usize) {
    let begun = Instant::now();
    while revision.instances() != count {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} instances", revision.instances());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Of this thread, until the guard is dropped.
    pub(crate) fn subscribe(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::set_default(lines.finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
