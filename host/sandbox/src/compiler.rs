//! Compiling: off the hot path, a few at once, and within bounds of time and memory.
//!
//! A component decides what its compilation costs, and a hostile one that it costs everything. So the compiler
//! runs in a process of its own (see [`crate::child`]), which has limits, and which is killed when its time is
//! up or when nobody wants its result any more. What becomes of it is a [`LoadError`], never more.

use std::ffi::OsString;
use std::fs::File;
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::Engine;

use crate::child::{Order, REFUSED};
use crate::code::{self, Code};
use crate::error::{LoadError, one_line};

/// What is kept of the child's complaints, in bytes.
const COMPLAINT: u64 = 16 << 10;

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, with no bound on time or memory: for components that are trusted.
    #[default]
    InProcess,
    /// In a child process, which calls [`compile_child`](crate::compile_child) with the arguments that come
    /// after these.
    Child {
        /// The program.
        program: PathBuf,
        /// Its first arguments.
        args: Vec<OsString>,
    },
}

/// The bounds of one compilation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// How long it may take.
    pub timeout: Duration,
    /// Bytes of memory that the child may have.
    pub memory: u64,
    /// Bytes of the compiled code.
    pub code_bytes: u64,
    /// Compilations at once; others wait, without their time running.
    pub jobs: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        // The other half is for the plugins that run.
        let jobs = (cores() / 2).max(1);
        Self { timeout: Duration::from_secs(60), memory: 2 << 30, code_bytes: 512 << 20, jobs }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Compiles, a few components at once.
pub(crate) struct CompilerPool {
    compiler: Compiler,
    limits: CompileLimits,
    /// What the engine is made with: see `SandboxConfig`.
    max_memory: usize,
    permits: Semaphore,
}

impl CompilerPool {
    pub(crate) fn new(compiler: Compiler, limits: CompileLimits, max_memory: usize) -> Self {
        let permits = Semaphore::new(limits.jobs.clamp(1, Semaphore::MAX_PERMITS));
        Self { compiler, limits, max_memory, permits }
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Result<Place<'_>, LoadError> {
        let permit = self.permits.acquire().await;
        let permit = permit.map_err(|_| LoadError::Compiler("the host is stopping".to_owned()))?;
        Ok(Place { pool: self, _permit: permit })
    }
}

/// The right to compile one component.
pub(crate) struct Place<'a> {
    pool: &'a CompilerPool,
    _permit: SemaphorePermit<'a>,
}

impl Place<'_> {
    /// Compiles. Dropping the future stops the child.
    pub(crate) async fn compile(self, engine: &Engine, component: &Arc<[u8]>) -> Result<Code, LoadError> {
        match &self.pool.compiler {
            Compiler::InProcess => {
                let (engine, component) = (engine.clone(), Arc::clone(component));
                let compile = move || {
                    let code = engine.precompile_component(&component);
                    let code = code.map_err(|error| LoadError::Compile(one_line(&format!("{error:#}"))))?;
                    Code::from_bytes(&code).map_err(|error| broken("no memory for the code", &error))
                };
                let compiled = tokio::task::spawn_blocking(compile).await;
                compiled.unwrap_or_else(|error| Err(broken("it crashed", &error)))
            }
            Compiler::Child { program, args } => self.in_child(program, args, component).await,
        }
    }

    async fn in_child(&self, program: &Path, args: &[OsString], component: &[u8]) -> Result<Code, LoadError> {
        let limits = &self.pool.limits;
        let output = code::memory_file().map_err(|error| broken("no file in memory", &error))?;
        let (status, complaint) = {
            let stdout = output.try_clone().map_err(|error| broken("no file in memory", &error))?;
            let command = self.command(program, args, component.len(), stdout);
            self.run(command, program, component).await?
        };
        verdict(status, &complaint, limits)?;
        let written = output.metadata().map_err(|error| broken("its output", &error))?.len();
        if written > limits.code_bytes {
            return Err(LoadError::CodeTooLarge { limit: limits.code_bytes });
        }
        code::seal(&output).map_err(|error| broken("its output", &error))?;
        Ok(Code::vouched(output))
    }

    fn command(&self, program: &Path, args: &[OsString], size: usize, output: File) -> Command {
        let limits = &self.pool.limits;
        // What all jobs together may take of the machine is all of it, at the lowest priority.
        let threads = (cores() / limits.jobs.max(1)).max(1);
        let seconds = limits.timeout.as_secs().saturating_add(1);
        let order = Order {
            max_memory: self.pool.max_memory as u64,
            component_bytes: size as u64,
            memory: limits.memory,
            cpu_seconds: seconds.saturating_mul(threads as u64),
            code_bytes: limits.code_bytes,
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .args(order.to_args())
            // Secrets of the host are in its environment, and in the folder that it runs in.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(output))
            .stderr(Stdio::piped())
            // Signals of a terminal are for the host, which then ends it.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs the child to its end, which comes in time.
    async fn run(
        &self,
        mut command: Command,
        program: &Path,
        component: &[u8],
    ) -> Result<(ExitStatus, String), LoadError> {
        let timeout = self.pool.limits.timeout;
        let spawned = command.spawn();
        // It holds the output open.
        drop(command);
        let mut child =
            spawned.map_err(|error| broken(&format!("{} cannot be started", program.display()), &error))?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let feed = async {
            let mut stdin = stdin?;
            // One that ends early says why, and does not read to the end.
            let _ = stdin.write_all(component).await;
            // It stays open: its end is how the child would learn of ours.
            Some(stdin)
        };
        let work = async {
            let (open, complaint) = tokio::join!(feed, complaint(stderr));
            let status = child.wait().await;
            drop(open);
            status.map(|status| (status, complaint))
        };
        match tokio::time::timeout(timeout, work).await {
            Ok(ended) => ended.map_err(|error| broken("it cannot be waited for", &error)),
            Err(_) => {
                // With whatever it may have started.
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                }
                let _ = child.kill().await;
                Err(LoadError::CompileTimeout { limit: timeout })
            }
        }
    }
}

/// What the child says on its standard error: the beginning is kept, and the rest is read, so that it never
/// waits for us.
async fn complaint(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut text = Vec::new();
    let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// What a child's end means.
fn verdict(status: ExitStatus, complaint: &str, limits: &CompileLimits) -> Result<(), LoadError> {
    if status.success() {
        return Ok(());
    }
    let by_signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    // The allocator's last words, and the kernel's error where the compiler maps memory by itself.
    let starved = ["memory allocation of", "Cannot allocate memory"];
    if starved.iter().any(|words| complaint.contains(words)) {
        return Err(LoadError::CompileMemory { limit: limits.memory });
    }
    if by_signal(Signal::XCPU) {
        return Err(LoadError::CompileTimeout { limit: limits.timeout });
    }
    if by_signal(Signal::XFSZ) {
        return Err(LoadError::CodeTooLarge { limit: limits.code_bytes });
    }
    let complaint = one_line(complaint);
    if status.code() == Some(REFUSED.into()) {
        return Err(LoadError::Compile(complaint));
    }
    let said = if complaint.is_empty() { "nothing".to_owned() } else { complaint };
    let hint = if by_signal(Signal::KILL) { " (the kernel does this when memory runs out)" } else { "" };
    Err(LoadError::Compiler(format!("it ended with {status}{hint}, and said {said}")))
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> LoadError {
    LoadError::Compiler(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_child_says_which_limit_it_hit() {
        let limits = CompileLimits::default();
        let end = |raw: i32, said: &str| verdict(ExitStatus::from_raw(raw), said, &limits).unwrap_err();
        let exit = |code: u8| i32::from(code) << 8;
        assert_eq!(verdict(ExitStatus::from_raw(0), "a warning", &limits), Ok(()));
        assert_eq!(end(exit(REFUSED), "bad\nthing\n"), LoadError::Compile("bad thing".to_owned()));
        let memory = LoadError::CompileMemory { limit: limits.memory };
        assert_eq!(end(6, "memory allocation of 4096 bytes failed"), memory);
        assert_eq!(end(exit(REFUSED), "mmap failed: Cannot allocate memory (os error 12)"), memory);
        assert_eq!(end(Signal::XCPU.as_raw(), ""), LoadError::CompileTimeout { limit: limits.timeout });
        assert_eq!(end(Signal::XFSZ.as_raw(), ""), LoadError::CodeTooLarge { limit: limits.code_bytes });
        for (raw, said) in [(exit(101), "panicked at x"), (Signal::SEGV.as_raw(), ""), (9, "")] {
            assert!(matches!(end(raw, said), LoadError::Compiler(text) if text.contains(said)), "{raw}");
        }
    }
}
