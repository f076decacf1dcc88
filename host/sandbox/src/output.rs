//! What a plugin says: its log lines, and what it prints. And the rest of WASI, which says nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiView};
use wheelhouse_core::usage::Usage;

/// The `tracing` target of every line that a plugin writes.
const TARGET: &str = "plugin";
/// A longer line is cut.
const LINE: usize = 8 << 10;

/// What every line of an instance carries.
pub(crate) struct LogContext {
    plugin: String,
    revision: String,
    usage: Arc<Usage>,
    dropped: Arc<Mutex<Dropped>>,
    call: Mutex<Call>,
}

/// How often the log says that lines were dropped.
const TELL: Duration = Duration::from_secs(1);

/// Lines that were not written, since the log last said so.
#[derive(Default)]
struct Dropped {
    lines: u64,
    told: Option<Instant>,
}

#[derive(Default)]
struct Call {
    reconcile_id: String,
    object: String,
    /// Printed, and not yet a whole line.
    partial: Vec<u8>,
}

impl LogContext {
    pub(crate) fn new(plugin: &str, digest: &str, usage: &Arc<Usage>) -> Self {
        // Twelve digits of the digest tell revisions apart.
        let revision = digest.trim_start_matches("sha256:").chars().take(12).collect();
        Self {
            plugin: plugin.to_owned(),
            revision,
            usage: Arc::clone(usage),
            dropped: Arc::default(),
            call: Mutex::default(),
        }
    }

    pub(crate) fn revision(&self) -> &str {
        &self.revision
    }

    /// For another instance: the same plugin, a call of its own.
    pub(crate) fn fork(&self, usage: &Arc<Usage>) -> Self {
        Self {
            plugin: self.plugin.clone(),
            revision: self.revision.clone(),
            usage: Arc::clone(usage),
            dropped: Arc::clone(&self.dropped),
            call: Mutex::default(),
        }
    }

    fn call(&self) -> std::sync::MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, reconcile_id: &str, object: &str) {
        let mut call = self.call();
        call.reconcile_id.replace_range(.., reconcile_id);
        call.object.replace_range(.., object);
    }

    pub(crate) fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        if !enabled(level) {
            return;
        }
        let mut line = String::new();
        clean(&mut line, message);
        for (name, value) in fields {
            line.push(' ');
            clean(&mut line, name);
            line.push('=');
            clean(&mut line, value);
            if line.len() >= LINE {
                break;
            }
        }
        if !self.may_write(line.len()) {
            return;
        }
        let call = self.call();
        let (plugin, revision) = (self.plugin.as_str(), self.revision.as_str());
        let (object, reconcile_id) = (call.object.as_str(), call.reconcile_id.as_str());
        // A level is static to `tracing`.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(target: TARGET, $level, plugin, revision, object, reconcile_id, "{line}")
            };
        }
        match level {
            Level::TRACE => line!(Level::TRACE),
            Level::DEBUG => line!(Level::DEBUG),
            Level::INFO => line!(Level::INFO),
            Level::WARN => line!(Level::WARN),
            Level::ERROR => line!(Level::ERROR),
        }
    }

    /// Whether the plugin may have another line of the log; if not, the log says so, once a second at most.
    fn may_write(&self, bytes: usize) -> bool {
        let limit = match self.usage.log_line(bytes) {
            Ok(()) => return true,
            Err(limit) => limit,
        };
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.lines += 1;
        let now = Instant::now();
        if dropped.told.is_none_or(|told| now.saturating_duration_since(told) >= TELL) {
            let Dropped { lines, .. } =
                std::mem::replace(&mut *dropped, Dropped { lines: 0, told: Some(now) });
            let (plugin, revision) = (self.plugin.as_str(), self.revision.as_str());
            tracing::warn!(
                plugin,
                revision,
                lines,
                "the plugin logs too much, lines of it are dropped (limit {limit})"
            );
        }
        false
    }

    /// Takes what was printed, and logs the lines that are whole.
    fn print(&self, level: Level, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let mut call = self.call();
            let room = LINE.saturating_sub(call.partial.len());
            call.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") || call.partial.len() >= LINE {
                let line = std::mem::take(&mut call.partial);
                drop(call);
                self.write(level, String::from_utf8_lossy(&line).trim_end(), &[]);
            }
        }
    }

    /// Logs what was printed without a line's end.
    pub(crate) fn flush(&self) {
        let rest = std::mem::take(&mut self.call().partial);
        if !rest.is_empty() {
            self.write(Level::INFO, &String::from_utf8_lossy(&rest), &[]);
        }
    }
}

impl Drop for LogContext {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Appends a text up to a line's length, and without what could forge lines, colours or an order of
/// reading: control characters, line separators, and the marks that turn a text's direction.
fn clean(line: &mut String, text: &str) {
    for c in text.chars() {
        if line.len() >= LINE {
            line.push_str("… (cut)");
            break;
        }
        let forges = c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        line.push(if forges { '\u{fffd}' } else { c });
    }
}

/// What a plugin says of a failure, fit for a line of the log.
pub(crate) fn message(text: &str) -> String {
    let mut line = String::new();
    clean(&mut line, text);
    line
}

pub(crate) fn enabled(level: Level) -> bool {
    match level {
        Level::TRACE => tracing::enabled!(target: TARGET, Level::TRACE),
        Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
    }
}

/// Standard output or error, as lines of the log.
#[derive(Clone)]
struct Printed {
    log: Arc<LogContext>,
    level: Level,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

/// A context without files, sockets, environment or arguments.
pub(crate) fn wasi_context(log: &Arc<LogContext>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(Printed { log: Arc::clone(log), level: Level::INFO })
        .stderr(Printed { log: Arc::clone(log), level: Level::WARN })
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        // The most random bytes of one call: the host makes them in its own memory.
        .max_random_size(64 << 10);
    builder.build()
}

/// Links the interfaces of WASI that a plugin gets, one by one. Those for files and the environment
/// are there because the standard libraries of languages want them; they find nothing. Sockets are not.
pub(crate) fn add_wasi<T: WasiView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};
    use wasmtime_wasi::random::WasiRandom;

    let l = linker;
    io::error::add_to_linker::<T, Handles>(l, |t| t.ctx().table)?;
    io::poll::add_to_linker::<T, Handles>(l, |t| t.ctx().table)?;
    io::streams::add_to_linker::<T, Handles>(l, |t| t.ctx().table)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    random::random::add_to_linker::<T, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    Ok(())
}

/// What streams and polling have of a store.
struct Handles;

impl HasData for Handles {
    type Data<'a> = &'a mut ResourceTable;
}
