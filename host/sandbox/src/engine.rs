//! The engine: one per process, every knob narrowed with its reason.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::background::Background;
use crate::bindings;
use crate::compiled::Compiled;
use crate::error::{LoadError, SandboxError};
use crate::host::InstanceState;
use crate::inspection::inspect;
use crate::output;

/// How often a running guest has to yield. A spinning one costs its neighbours this much latency.
const TICK: Duration = Duration::from_millis(1);

/// Elements that one table of a guest may have. A component of Rust has some hundreds, one that carries a
/// language's interpreter some ten thousand.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// What all plugins of a host share.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Instances that may live at once, of all plugins together.
    pub instances: u32,
    /// The most linear memory that any plugin's limit allows, in bytes: what a pool slot reserves
    /// (address space, not memory).
    pub max_memory: usize,
    /// The largest component that is compiled, in bytes.
    pub component_bytes: usize,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { instances: 500, max_memory: 256 << 20, component_bytes: 64 << 20 }
    }
}

/// Compiles components. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    linker: Linker<InstanceState>,
    background: Background,
    config: SandboxConfig,
    /// Its end stops the ticker's thread.
    _ticker: Sender<()>,
}

impl Sandbox {
    /// Sets the engine up and starts its ticker.
    ///
    /// # Errors
    /// If the machine lacks what the engine needs, such as address space for the pool.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let fail = |error: wasmtime::Error| SandboxError(format!("{error:#}"));
        let engine = Engine::new(&engine_config(&config)).map_err(fail)?;
        let mut linker = Linker::new(&engine);
        bindings::Plugin::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)
            .map_err(fail)?;
        output::add_wasi(&mut linker).map_err(fail)?;
        let background = Background::new(config.instances as usize)?;
        let ticker = start_ticker(&engine)?;
        Ok(Self { inner: Arc::new(Inner { engine, linker, background, config, _ticker: ticker }) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn background(&self) -> &Background {
        &self.inner.background
    }

    /// Checks and compiles a component on a thread of its own. It takes seconds for a large one.
    ///
    /// # Errors
    /// What is wrong with it: see [`LoadError`].
    pub async fn compile(&self, bytes: Arc<[u8]>) -> Result<Compiled, LoadError> {
        let sandbox = self.clone();
        let compiled = tokio::task::spawn_blocking(move || sandbox.compile_now(&bytes)).await;
        compiled.unwrap_or_else(|error| Err(LoadError::Compile(error.to_string())))
    }

    fn compile_now(&self, bytes: &[u8]) -> Result<Compiled, LoadError> {
        let limit = self.inner.config.component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { size: bytes.len(), limit });
        }
        let inspection = inspect(bytes)?;
        let compile = |error: wasmtime::Error| LoadError::Compile(format!("{error:#}"));
        let component =
            wasmtime::component::Component::from_binary(&self.inner.engine, bytes).map_err(compile)?;
        let instance = self.inner.linker.instantiate_pre(&component).map_err(compile)?;
        let pre = bindings::PluginPre::new(instance).map_err(compile)?;
        Ok(Compiled::new(self.clone(), pre, inspection, bytes))
    }
}

fn engine_config(limits: &SandboxConfig) -> Config {
    let mut config = Config::new();

    // A guest that never calls the host would keep its thread for ever: it yields at each tick.
    config.epoch_interruption(true);
    // The contract is synchronous; the machinery for concurrent guests costs time at each instance.
    config.concurrency_support(false);

    // What no plugin needs is not there to be attacked.
    // (Threads and garbage collection are not even compiled in.)
    config.shared_memory(false);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_relaxed_simd(false);

    // Typed deserialisation of Kubernetes objects recurses deeply: wasmtime's 512 KiB is too tight
    // for it. Guests built by Rust have 1 MiB of shadow stack besides.
    config.max_wasm_stack(1 << 20);
    config.async_stack_size((1 << 20) + (512 << 10));

    // Instances come from a pool: a new one costs microseconds, and the pool's size bounds what
    // all plugins together can take.
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances);
    // A component of Rust has 3 or 4 core instances, one made from JavaScript or Python more.
    pool.total_core_instances(limits.instances.saturating_mul(8));
    pool.max_core_instances_per_component(64);
    pool.total_memories(limits.instances.saturating_mul(2));
    pool.max_memories_per_component(4);
    pool.max_memory_size(limits.max_memory);
    pool.total_tables(limits.instances.saturating_mul(4));
    pool.max_tables_per_component(16);
    pool.table_elements(TABLE_ELEMENTS);
    pool.total_stacks(limits.instances);
    pool.max_component_instance_size(2 << 20);
    pool.max_core_instance_size(2 << 20);
    // Cleared by memset rather than by the kernel, up to this much of each: cheaper for small guests.
    pool.linear_memory_keep_resident(256 << 10);
    pool.table_keep_resident(16 << 10);
    pool.async_stack_keep_resident(32 << 10);
    // The kernel tells which pages were touched, where it can.
    pool.pagemap_scan(Enabled::Auto);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    // A slot is reserved at its limit and not at 4 GiB: address space is not endless either.
    config.memory_reservation(limits.max_memory as u64);
    config
}

/// A thread of its own, since a guest may keep every worker of the runtime busy.
fn start_ticker(engine: &Engine) -> Result<Sender<()>, SandboxError> {
    let engine = engine.weak();
    let (stop, stopped) = channel::<()>();
    let tick = move || {
        while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new()
        .name("epoch-ticker".to_owned())
        .spawn(tick)
        .map_err(|error| SandboxError(format!("no thread for the epoch ticker: {error}")))?;
    Ok(stop)
}
