//! What traces are told by.

/// The `tracing` target of the spans that become a trace. Nothing else has it, and a log has none of them:
/// unless traces are sent somewhere, no such span is made.
pub const TARGET: &str = "wheelhouse::trace";
