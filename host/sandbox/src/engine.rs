//! The engine: one per process, every knob narrowed with its reason.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::background::Background;
use crate::bindings;
use crate::code::Code;
use crate::compile_cache::CompileCache;
use crate::compiled::Compiled;
use crate::compiler::{CompileLimits, Compiler, CompilerPool};
use crate::digest::Digest;
use crate::error::{LoadError, SandboxError, one_line};
use crate::host::InstanceState;
use crate::inspection::{Inspection, inspect};
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
    /// The wasm stack of one call, in bytes. It is the engine's, and so one for all plugins.
    pub stack: usize,
    /// The largest component that is compiled, in bytes.
    pub component_bytes: usize,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// The bounds of each compilation.
    pub compile: CompileLimits,
    /// Where compiled code is kept for the next start; without one, nowhere.
    pub cache: Option<CompileCache>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            instances: 500,
            max_memory: 256 << 20,
            stack: 1 << 20,
            component_bytes: 64 << 20,
            compiler: Compiler::default(),
            compile: CompileLimits::default(),
            cache: None,
        }
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
    compilers: CompilerPool,
    /// Of the engine: code that was compiled for another cannot run in it.
    compatibility: Digest,
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
        let compatibility = Digest::of_value(&engine.precompile_compatibility_hash());
        let compilers = CompilerPool::new(config.compiler.clone(), config.compile.clone(), config.max_memory);
        let inner = Inner { engine, linker, background, config, compilers, compatibility, _ticker: ticker };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The most that a plugin's limit of memory can be, in bytes.
    pub fn max_memory(&self) -> usize {
        self.inner.config.max_memory
    }

    pub(crate) fn background(&self) -> &Background {
        &self.inner.background
    }

    /// Checks a component, and compiles it unless the cache has its code. It takes seconds for a large one.
    /// Dropping the future makes an end of it.
    ///
    /// # Errors
    /// What is wrong with it: see [`LoadError`].
    pub async fn compile(&self, bytes: Arc<[u8]>) -> Result<Compiled, LoadError> {
        let size = bytes.len();
        let limit = self.inner.config.component_bytes;
        if size > limit {
            return Err(LoadError::TooLarge { size, limit });
        }
        let (sandbox, component) = (self.clone(), Arc::clone(&bytes));
        let checked = blocking(move || {
            let inspection = inspect(&component)?;
            let checked = Checked { sandbox, inspection, digest: Digest::of(&component) };
            Ok(checked.cached())
        });
        let checked = match checked.await? {
            Ok(compiled) => return Ok(compiled),
            Err(checked) => checked,
        };
        let place = self.inner.compilers.place().await?;
        // While this one waited, another may have compiled the same.
        let checked = match blocking(move || Ok(checked.cached())).await? {
            Ok(compiled) => return Ok(compiled),
            Err(checked) => checked,
        };
        let code = place.compile(&self.inner.engine, &bytes).await?;
        blocking(move || checked.take(code)).await
    }
}

/// A component that may be compiled.
struct Checked {
    sandbox: Sandbox,
    inspection: Inspection,
    digest: Digest,
}

impl Checked {
    /// From the cache, if it has it; this, if not.
    fn cached(self) -> Result<Compiled, Self> {
        let Inner { engine, config, compatibility, .. } = &*self.sandbox.inner;
        let Some(cache) = &config.cache else { return Err(self) };
        let Some(entry) = cache.get(&self.digest, compatibility) else { return Err(self) };
        match entry.code().load(engine).and_then(|component| self.pre(&component)) {
            Ok(pre) => Ok(self.compiled(pre, true)),
            Err(error) => {
                cache.unloadable(&entry, &error);
                Err(self)
            }
        }
    }

    /// Takes what the compiler made of it.
    fn take(self, code: Code) -> Result<Compiled, LoadError> {
        let Inner { engine, config, compatibility, .. } = &*self.sandbox.inner;
        let kept = config.cache.as_ref().and_then(|cache| {
            // Memory that is a file's can be taken back from it, and is shared with other hosts.
            let put = cache.put(&self.digest, compatibility, &code).map_err(wasmtime::Error::from);
            let loaded = put.and_then(|entry| entry.code().load(engine));
            let complain = |error: &wasmtime::Error| {
                tracing::warn!(folder = %cache.folder().display(), "compiled code cannot be kept in the compile cache, and will be compiled again at the next start: {error:#}");
            };
            loaded.inspect_err(complain).ok()
        });
        let compile = |error: wasmtime::Error| LoadError::Compile(one_line(&format!("{error:#}")));
        let component = kept.map_or_else(|| code.load(engine), Ok).map_err(compile)?;
        let pre = self.pre(&component).map_err(compile)?;
        Ok(self.compiled(pre, false))
    }

    fn pre(&self, component: &Component) -> wasmtime::Result<bindings::PluginPre<InstanceState>> {
        bindings::PluginPre::new(self.sandbox.inner.linker.instantiate_pre(component)?)
    }

    fn compiled(self, pre: bindings::PluginPre<InstanceState>, from_cache: bool) -> Compiled {
        Compiled::new(self.sandbox, pre, self.inspection, self.digest, from_cache)
    }
}

/// What takes too long for a worker of the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LoadError::Compiler(error.to_string())))
}

/// What code has to be compiled with, here and in the compiler's process.
pub(crate) fn compile_config(max_memory: usize) -> Config {
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

    // A slot is reserved at its limit and not at 4 GiB: address space is not endless either.
    config.memory_reservation(max_memory as u64);
    config
}

fn engine_config(limits: &SandboxConfig) -> Config {
    let mut config = compile_config(limits.max_memory);

    // Typed deserialisation of Kubernetes objects recurses deeply: wasmtime's 512 KiB is too tight
    // for it. Guests built by Rust have 1 MiB of shadow stack besides.
    config.max_wasm_stack(limits.stack);
    // What the host's own functions have, below the plugin's.
    config.async_stack_size(limits.stack.saturating_add(512 << 10));

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_process_makes_code_that_this_engine_takes() {
        let compatibility =
            |config: &Config| Digest::of_value(&Engine::new(config).unwrap().precompile_compatibility_hash());
        let config = SandboxConfig { instances: 1, ..SandboxConfig::default() };
        let host = compatibility(&engine_config(&config));
        assert_eq!(host, compatibility(&compile_config(config.max_memory)));
        assert_ne!(host, compatibility(&compile_config(config.max_memory / 2)));
    }
}
