//! What a store holds for its instance, and the host functions, which are every door of a sandbox. Each
//! asks the gate, and passes on only what the gate handed back.
//!
//! Those of the imports `client`, `events` and `metrics` are in modules of their names, the others here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::bail;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::request::{Get, List, Synced};
use wheelhouse_core::series::OwnMetrics;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Kind, Object, Permitted};

use crate::bindings::wheelhouse::controller::{config, logging, objects, types};
use crate::convert::{self, bad_request};
use crate::error::LimitHit;
use crate::meter::Meter;
use crate::output::{self, LogContext};

/// What the call that runs now may do at all; the gate then judges what it asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Authority {
    /// The log only: `describe`, `index`.
    None,
    /// The cache, live reads, and metrics: `map`.
    Read,
    /// Everything: `reconcile`.
    Full,
}

/// What a store holds for its instance.
pub(crate) struct InstanceState {
    pub(crate) gate: Arc<Gate>,
    cluster: Option<Arc<dyn ClusterAccess>>,
    /// What this call reaches it through, if not directly.
    through: Option<Arc<dyn ClusterAccess>>,
    config: Arc<str>,
    log: Arc<LogContext>,
    pub(crate) limits: Limits,
    pub(crate) usage: Arc<Usage>,
    /// What all instances of the plugin count in.
    pub(crate) metrics: Arc<OwnMetrics>,
    /// The kinds that the plugin named, so that a call does not make each anew.
    kinds: Vec<Kind>,
    authority: Authority,
    /// Calls of the host in this call, those of WASI among them.
    calls: u32,
    /// When the call began, and how long it may take.
    begun: Instant,
    timeout: Duration,
    pub(crate) meter: Meter,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for InstanceState {
    /// Every function of WASI begins with it.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.calls = self.calls.saturating_add(1);
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Drop for InstanceState {
    /// In the middle of a call that traps, or that is stopped: what it has done counts all the same.
    fn drop(&mut self) {
        self.usage.host_calls(self.calls);
    }
}

impl InstanceState {
    pub(crate) fn new(
        gate: Arc<Gate>,
        cluster: Option<Arc<dyn ClusterAccess>>,
        config: Arc<str>,
        log: Arc<LogContext>,
        limits: Limits,
        usage: Arc<Usage>,
        kinds: Vec<Kind>,
    ) -> Self {
        let log = Arc::new(log.fork(&usage));
        let wasi = output::wasi_context(&log);
        let meter = Meter::new(limits.memory, &usage);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Self {
            gate,
            cluster,
            through: None,
            config,
            log,
            limits,
            usage,
            metrics: Arc::default(),
            kinds,
            authority: Authority::None,
            calls: 0,
            begun: Instant::now(),
            timeout: Duration::ZERO,
            meter,
            wasi,
            table,
        }
    }

    /// Before a call: what it may do, how long it may take, and what its log lines carry.
    pub(crate) fn begin(
        &mut self,
        authority: Authority,
        timeout: Duration,
        reconcile_id: &str,
        object: &str,
    ) {
        self.authority = authority;
        self.calls = 0;
        self.begun = Instant::now();
        self.timeout = timeout;
        self.log.begin(reconcile_id, object);
    }

    /// Has this call, and none after it, reach the cluster through this.
    pub(crate) fn go_through(&mut self, cluster: Option<Arc<dyn ClusterAccess>>) {
        self.through = cluster;
    }

    /// After a call.
    pub(crate) fn end(&mut self) {
        self.authority = Authority::None;
        self.through = None;
        self.usage.host_calls(std::mem::take(&mut self.calls));
        self.log.flush();
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Every host function begins with it.
    ///
    /// # Errors
    /// A trap, if the guest has called the host too often in this call.
    fn enter(&mut self) -> wasmtime::Result<()> {
        self.calls = self.calls.saturating_add(1);
        self.check_calls()
    }

    /// Looked at by each host function of the contract and, for those of WASI, which cannot, at each tick.
    ///
    /// # Errors
    /// A trap, if the guest has called the host too often in this call.
    pub(crate) fn check_calls(&self) -> wasmtime::Result<()> {
        if self.calls > self.limits.host_calls {
            let message = format!("more than {} calls of the host in one call", self.limits.host_calls);
            return Err(LimitHit::trap(Limit::HostCalls, message));
        }
        Ok(())
    }

    /// The cluster, if this call may reach it so far; a trap otherwise.
    pub(crate) fn cluster(&mut self, needed: Authority) -> wasmtime::Result<Arc<dyn ClusterAccess>> {
        self.enter()?;
        match self.through.as_ref().or(self.cluster.as_ref()) {
            Some(cluster) if self.authority >= needed => Ok(Arc::clone(cluster)),
            _ if self.authority == Authority::Read => bail!("map may read and count, and may not write"),
            _ => bail!("describe and index may use no import but the log and the configuration"),
        }
    }

    pub(crate) fn kind(&self, text: &str) -> Result<Kind, ApiError> {
        match self.kinds.iter().find(|kind| kind.as_str() == text) {
            Some(kind) => Ok(kind.clone()),
            None => text.parse().map_err(|error: wheelhouse_core::kind::BadKind| bad_request(error)),
        }
    }

    pub(crate) fn argument(&self, what: &str, bytes: usize) -> Result<(), ApiError> {
        let limit = self.limits.argument_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("{what} has {bytes} bytes, {limit} are allowed");
        self.usage.breach(Limit::ArgumentBytes);
        Err(ApiError::LimitExceeded { limit: Limit::ArgumentBytes, message })
    }

    /// The bytes of an object, if they are not too many.
    pub(crate) fn answer(
        &self,
        found: Result<Option<Object>, ApiError>,
    ) -> Result<Option<Vec<u8>>, types::Error> {
        let Some(object) = found.map_err(convert::error)? else { return Ok(None) };
        let (size, limit) = (object.as_bytes().len(), self.limits.answer_bytes);
        if size > limit {
            self.usage.breach(Limit::AnswerBytes);
            let message = format!("{} has {size} bytes, {limit} are allowed", object.key());
            return Err(convert::error(ApiError::LimitExceeded { limit: Limit::AnswerBytes, message }));
        }
        Ok(Some(object.as_bytes().to_vec()))
    }

    fn list_request(&self, kind: &str, query: objects::Query) -> Result<List, ApiError> {
        let parts = query.matches.iter().map(|m| m.index.len() + m.value.len()).sum::<usize>();
        let selectors = query.label_selector.len() + query.field_selector.len();
        self.argument("the query", selectors + query.namespace.len() + parts)?;
        convert::list_request(self.kind(kind)?, query, &self.limits)
    }

    /// Whether a kind is synced may be asked by who may list it anywhere.
    fn synced_request(&self, kind: &str) -> Result<Permitted<Synced>, types::Error> {
        let request = self.kind(kind).and_then(|kind| Ok(self.gate.permit_synced(Synced { kind })?));
        request.map_err(convert::error)
    }
}

impl types::Host for InstanceState {}

impl objects::Host for InstanceState {
    async fn get(
        &mut self,
        kind: String,
        key: objects::ObjectKey,
        consistency: objects::Consistency,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        let request = self.kind(&kind).and_then(|kind| {
            let (key, consistency) = (convert::key_from(key), convert::consistency(consistency));
            self.gate.permit(Get { kind, key, subresource: String::new(), consistency })
        });
        Ok(match request {
            // What no object can be called is not there, and is not looked for, whoever would remember it.
            Ok(request) if !request.key.is_possible() => Ok(None),
            Ok(request) => {
                let found = cluster.get(request).await;
                self.answer(found)
            }
            Err(error) => Err(convert::error(error)),
        })
    }

    async fn list(
        &mut self,
        kind: String,
        query: objects::Query,
    ) -> wasmtime::Result<Result<objects::Page, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        let list = match self.list_request(&kind, query) {
            Ok(list) => list,
            Err(error) => return Ok(Err(convert::error(error))),
        };
        let limit = list.limit;
        let page = match self.gate.permit(list) {
            Ok(request) => cluster.list(request).await,
            Err(error) => Err(error),
        };
        Ok(page.map(|page| convert::page(page, limit)).map_err(convert::error))
    }

    async fn count(
        &mut self,
        kind: String,
        query: objects::Query,
    ) -> wasmtime::Result<Result<u64, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        let request = self.list_request(&kind, query).and_then(|list| self.gate.permit(list));
        Ok(match request {
            Ok(request) => cluster.count(request).await.map_err(convert::error),
            Err(error) => Err(convert::error(error)),
        })
    }

    fn synced(&mut self, kind: String) -> wasmtime::Result<Result<bool, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        Ok(self.synced_request(&kind).map(|request| cluster.synced(request)))
    }

    async fn wait_synced(
        &mut self,
        kind: String,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<bool, types::Error>> {
        let cluster = self.cluster(Authority::Read)?;
        // A wait up to the deadline itself would leave no time to make something of its answer.
        let left = (self.timeout / 10 * 9).saturating_sub(self.begun.elapsed());
        let within = left.min(Duration::from_millis(timeout_ms.into()));
        Ok(match self.synced_request(&kind) {
            Ok(request) => Ok(cluster.wait_synced(request, within).await),
            Err(error) => Err(error),
        })
    }
}

impl logging::Host for InstanceState {
    fn enabled(&mut self, level: logging::Level) -> wasmtime::Result<bool> {
        self.enter()?;
        Ok(output::enabled(convert::level(level)))
    }

    fn log(
        &mut self,
        level: logging::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.enter()?;
        self.log.write(convert::level(level), &message, &fields);
        Ok(())
    }
}

impl config::Host for InstanceState {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.config.to_string())
    }
}
