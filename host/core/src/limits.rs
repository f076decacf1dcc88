//! What one plugin may use. Each limit's name here is its name in errors, metrics and configuration.

use std::time::Duration;

/// The limits of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory that one instance may have.
    pub memory: usize,
    /// How long one `reconcile` may take, waits for the API server included.
    pub reconcile_timeout: Duration,
    /// How long one `describe`, `map` or `index` may take.
    pub call_timeout: Duration,
    /// Bytes of one argument that the plugin passes: an object to write, a log message.
    pub argument_bytes: usize,
    /// Bytes of one page of a list; the page ends at the object that reaches it.
    pub page_bytes: usize,
    /// Objects of one page of a list.
    pub page_items: u32,
    /// Bytes of the component.
    pub component_bytes: usize,
    /// The most reconciles at once, whatever the plugin asks for.
    pub concurrency: u32,
    /// Calls that an instance serves before it is replaced.
    pub instance_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            reconcile_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(2),
            argument_bytes: 4 << 20,
            page_bytes: 8 << 20,
            page_items: 5_000,
            component_bytes: 64 << 20,
            concurrency: 16,
            instance_calls: 10_000,
        }
    }
}
