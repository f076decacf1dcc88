//! What an instance has of memory: all its linear memories and tables together, held to one limit.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wheelhouse_core::limits::Limit;
use wheelhouse_core::usage::Usage;

use crate::engine::TABLE_ELEMENTS;
use crate::error::LimitHit;

/// Bytes of an element of a table.
const ELEMENT: usize = size_of::<usize>();

/// Counts what an instance takes, and refuses more than its limit.
pub(crate) struct Meter {
    memory: usize,
    limit: usize,
    /// Of the plugin, which has what all its instances have.
    usage: Arc<Usage>,
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.usage.memory_changed(self.memory, 0);
    }
}

impl Meter {
    /// For an instance that may have so many bytes.
    pub(crate) fn new(limit: usize, usage: &Arc<Usage>) -> Self {
        Self { memory: 0, limit, usage: Arc::clone(usage) }
    }

    /// Bytes that it has now.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// One of them grows; the sum is over all.
    fn grow(&mut self, current: usize, desired: usize) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.limit {
            let message = format!("{total} bytes of memories and tables wanted, {} allowed", self.limit);
            return Err(LimitHit::trap(Limit::Memory, message));
        }
        self.usage.memory_changed(self.memory, total);
        self.memory = total;
        Ok(true)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // More than the memory itself may have: the guest is told so.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(current, desired)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Of its own maximum the guest is told; of a slot's, which is the maximum of all others, not.
        if maximum.is_some_and(|maximum| maximum < TABLE_ELEMENTS && desired > maximum) {
            return Ok(false);
        }
        if desired > TABLE_ELEMENTS {
            let message = format!("a table of {desired} elements wanted, {TABLE_ELEMENTS} allowed");
            return Err(LimitHit::trap(Limit::Memory, message));
        }
        self.grow(current.saturating_mul(ELEMENT), desired.saturating_mul(ELEMENT))
    }
}
