//! What can go wrong, with what to do about it.

use std::time::Duration;

use wheelhouse_core::limits::Limit;
use wheelhouse_core::printable::printable;
use wheelhouse_core::spec::SpecError;

/// What is shown of a text that a plugin's author wrote.
const SHOWN: usize = 1000;

/// The sandbox itself could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine could not be set up: {0}")]
pub struct SandboxError(pub(crate) String);

/// A file is not a plugin that this host can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No WebAssembly at all.
    #[error("not a WebAssembly component: the file does not begin as one")]
    NotWasm,
    /// Code that a compiler has made already: whoever made it could have made anything.
    #[error(
        "compiled machine code, which is not taken: hand over the component (.wasm) that it was compiled from"
    )]
    Precompiled,
    /// A module, which lacks the component's types.
    #[error(
        "a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Truncated or damaged.
    #[error("a damaged or truncated component: {0}; build or fetch it again")]
    Damaged(String),
    /// A component of another world.
    #[error(
        "a component that is no plugin: it does not export wheelhouse:controller/reconciler (it exports {exports})"
    )]
    NoPlugin {
        /// What it exports instead.
        exports: String,
    },
    /// A plugin for another host.
    #[error(
        "a plugin for API version {found}; this host supports {supported}: rebuild it with a matching SDK, or use a host that supports {found}"
    )]
    ApiVersion {
        /// The plugin's.
        found: String,
        /// The host's.
        supported: &'static str,
    },
    /// It wants what no plugin gets.
    #[error("it imports {0}, which plugins do not get")]
    Import(String),
    /// Larger than the limit.
    #[error("{size} bytes, more than the limit {} of {limit}", Limit::ComponentBytes)]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// Components within components within components.
    #[error("components within components, deeper than the limit of {limit}")]
    Nested {
        /// Levels.
        limit: usize,
    },
    /// The compiler says no.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It takes too long to compile.
    #[error(
        "it takes longer to compile than the limit {} of {limit:?}; it was stopped",
        Limit::CompileTimeout
    )]
    CompileTimeout {
        /// As it is set.
        limit: Duration,
    },
    /// The compiler needs too much memory for it.
    #[error("it takes more memory to compile than the limit {} of {limit} bytes", Limit::CompileMemory)]
    CompileMemory {
        /// Bytes.
        limit: u64,
    },
    /// The compiler makes too much of it.
    #[error("its compiled code is larger than the limit {} of {limit}", Limit::CompiledBytes)]
    CodeTooLarge {
        /// Bytes.
        limit: u64,
    },
    /// The compiler itself fails, for this component or for all.
    #[error("the compiler failed: {0}")]
    Compiler(String),
}

impl LoadError {
    /// The limit that was hit, if it was one.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLarge { .. } => Some(Limit::ComponentBytes),
            Self::CompileTimeout { .. } => Some(Limit::CompileTimeout),
            Self::CompileMemory { .. } => Some(Limit::CompileMemory),
            Self::CodeTooLarge { .. } => Some(Limit::CompiledBytes),
            _ => None,
        }
    }
}

/// A plugin did not tell what it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// It does not like its configuration.
    #[error("the plugin rejects its configuration{}: {message}", at(field))]
    Config {
        /// Where, or "".
        field: String,
        /// Why.
        message: String,
    },
    /// What it says makes no sense.
    #[error("describe() returned something that cannot be used: {0}")]
    Spec(#[from] SpecError),
    /// What it says cannot be read.
    #[error("describe() returned something that cannot be used: {0}")]
    Unreadable(String),
    /// It trapped, or took too long.
    #[error("describe() failed: {0}")]
    Call(#[from] CallError),
}

/// A text from elsewhere in one line of bounded length, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(SHOWN));
        if line.len() > SHOWN {
            line.truncate(line.floor_char_boundary(SHOWN));
            line.push('…');
            break;
        }
    }
    line
}

fn at(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(" at {field}") }
}

/// A call of a plugin did not return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It trapped: a panic, a limit, an import that it may not use in this call.
    #[error("trap: {reason}")]
    Trap {
        /// Why, in one line.
        reason: String,
        /// Where, a frame a line; may be empty.
        backtrace: String,
        /// The limit that it went over, if that is why.
        limit: Option<Limit>,
    },
    /// It took too long.
    #[error("no answer within {after:?} (limit {limit}){}; it was stopped", pauses(*paused))]
    Timeout {
        /// Of the kind of call.
        limit: Limit,
        /// The limit.
        after: Duration,
        /// How long of it the call paused, since the plugin had used its processor time.
        paused: Duration,
    },
    /// It computed too long.
    #[error("it used {after:?} of processor time and had no answer (limit {limit}); it was stopped")]
    Cpu {
        /// Of the kind of call.
        limit: Limit,
        /// The limit.
        after: Duration,
    },
    /// The host has no room for another instance.
    #[error("no instance could be made: {0}")]
    Instance(String),
}

fn pauses(paused: Duration) -> String {
    let limit = Limit::CpuPerSecond;
    if paused.is_zero() {
        String::new()
    } else {
        format!(", of which it paused for {paused:.1?} (limit {limit})")
    }
}

/// A limit that was hit in the middle of a call, on its way out of it.
#[derive(Debug, thiserror::Error)]
#[error("limit {limit}: {message}")]
pub(crate) struct LimitHit {
    pub(crate) limit: Limit,
    pub(crate) message: String,
}

impl LimitHit {
    pub(crate) fn trap(limit: Limit, message: String) -> wasmtime::Error {
        wasmtime::Error::from(Self { limit, message })
    }
}

/// Frames of a backtrace that are told.
const FRAMES: usize = 30;
/// Bytes of each.
const FRAME: usize = 200;

/// What wasmtime's own limits say, which have no types.
const WASMTIME_LIMITS: [(&str, Limit); 3] = [
    ("fuel allocated for hostcalls has been exhausted", Limit::HostcallBytes),
    ("resource table has no free keys", Limit::Handles),
    ("store handle limit exceeded", Limit::Handles),
];

impl CallError {
    /// The limit that was hit, if it was one.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Trap { limit, .. } => *limit,
            Self::Timeout { limit, .. } | Self::Cpu { limit, .. } => Some(*limit),
            Self::Instance(_) => None,
        }
    }

    /// From what wasmtime says: the reason in a line, and the frames.
    pub(crate) fn from_wasmtime(error: &wasmtime::Error) -> Self {
        if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
            return Self::Instance("all instances of the host are in use (limit instances)".to_owned());
        }
        let mut reasons: Vec<String> = Vec::new();
        let mut backtrace = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // The outermost context is the backtrace, if there is one.
            if text.starts_with("error while executing at wasm backtrace") {
                // A component may give its functions names of any length.
                let frames = text.lines().skip(1).take(FRAMES).map(|frame| printable(frame.trim(), FRAME));
                backtrace = frames.collect::<Vec<_>>().join("\n");
            } else if !reasons.contains(&text) {
                reasons.push(text);
            }
        }
        let mut reason = reasons.join(": ");
        let limit = if let Some(hit) = error.downcast_ref::<LimitHit>() {
            Some(hit.limit)
        } else if error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::StackOverflow) {
            Some(Limit::Stack)
        } else {
            WASMTIME_LIMITS.iter().find(|(text, _)| reason.contains(text)).map(|(_, limit)| *limit)
        };
        if let Some(limit) = limit.filter(|_| !reason.contains("limit ")) {
            reason = format!("limit {limit}: {reason}");
        }
        Self::Trap { reason, backtrace, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_compiling_is_told_by_its_name() {
        for (error, limit) in [
            (LoadError::TooLarge { size: 2, limit: 1 }, Limit::ComponentBytes),
            (LoadError::CompileTimeout { limit: Duration::ZERO }, Limit::CompileTimeout),
            (LoadError::CompileMemory { limit: 1 }, Limit::CompileMemory),
            (LoadError::CodeTooLarge { limit: 1 }, Limit::CompiledBytes),
        ] {
            assert_eq!(error.limit(), Some(limit));
            assert!(error.to_string().contains(&format!("the limit {limit} of")), "{error}");
        }
        assert_eq!(LoadError::NotWasm.limit(), None);
    }

    #[test]
    fn hostile_a_backtrace_has_so_many_frames_of_so_many_bytes() {
        // As wasmtime writes it, of functions with the names that a component gives them.
        let names = ["x".repeat(10_000), "\u{1b}[2J\u{202e}red".to_owned()];
        let frames = (0..1000).map(|i| format!("   {i}: 0x1234 - <unknown>!{}\n", names[i % 2]));
        let frames = "error while executing at wasm backtrace:\n".to_owned() + &frames.collect::<String>();
        let error = wasmtime::Error::from(wasmtime::Trap::UnreachableCodeReached).context(frames);
        let CallError::Trap { reason, backtrace, limit } = CallError::from_wasmtime(&error) else { panic!() };
        assert_eq!(
            (reason.contains("unreachable"), reason.contains("backtrace"), limit),
            (true, false, None)
        );
        let frames: Vec<&str> = backtrace.split('\n').collect();
        assert_eq!(frames.len(), 30);
        for (i, frame) in frames.into_iter().enumerate() {
            assert!(frame.starts_with(&format!("{i}: 0x1234")) && frame.len() <= 200, "{frame}");
            assert!(!frame.contains(|c: char| c.is_control() || c == '\u{202e}'), "{frame:?}");
        }
    }
}
