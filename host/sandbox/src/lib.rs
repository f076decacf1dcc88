//! The sandbox: plugins as WebAssembly components, run without trust.
//!
//! It owns the engine, compiling, instances, their limits, and the host functions. It promises:
//!
//! - compiling is bounded in time, memory and number, and machine code comes from our compiler alone;
//! - a plugin reaches nothing but what its [`Gate`](wheelhouse_core::Gate) lets through, the log,
//!   clocks and random numbers;
//! - whatever a plugin does ends: with an answer, a trap, or its deadline;
//! - a trap costs the instance it happened in, and is an error of that call.
//!
//! It knows neither Kubernetes clients nor where components come from: reads and writes go through
//! [`ClusterAccess`](wheelhouse_core::ClusterAccess).
//!
//! A [`Compiled`] component is the code; a [`Revision`] is that code alive, with a configuration,
//! a gate and limits.

mod background;
mod bindings;
mod call;
mod child;
mod client;
mod code;
mod compile_cache;
mod compiled;
mod compiler;
mod convert;
#[cfg(test)]
mod convert_fuzz;
mod declared;
mod digest;
mod engine;
mod error;
mod events;
mod host;
mod inspection;
mod instance;
mod meter;
mod metrics;
mod output;
mod revision;
mod turns;

pub use child::compile_child;
pub use compile_cache::{CacheError, CompileCache};
pub use compiled::Compiled;
pub use compiler::{CompileLimits, Compiler};
pub use engine::{Sandbox, SandboxConfig};
pub use error::{CallError, DescribeError, LoadError, SandboxError};
pub use inspection::{Inspection, SUPPORTED_API, inspect};
pub use revision::{Event, Revision, RevisionSetup};
