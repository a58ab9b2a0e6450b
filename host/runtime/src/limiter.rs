//! Memory and tables of one run's whole wasmtime store, counted together.
//!
//! A limit per memory would let a component with two memories have twice as much.

use wasmtime::ResourceLimiter;

/// Bytes that one table element takes on the host.
const TABLE_ELEMENT_BYTES: usize = 16;

/// Counts what the guest holds and refuses growth beyond the limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_max: usize,
    table_elements_max: usize,
    instances_max: usize,
    tables_max: usize,
    used: usize,
    peak: usize,
    refused: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &tidegate_engine::limits::Limits) -> Self {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            memory_max: size(limits.memory_bytes),
            table_elements_max: size(limits.table_elements),
            instances_max: size(limits.instances),
            tables_max: size(limits.tables),
            used: 0,
            peak: 0,
            refused: None,
        }
    }

    /// The most bytes held at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// The limit that refused growth last: what a trap after it is about.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.refused
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.memory_max {
            self.refused = Some("memory_bytes");
            return false;
        }
        self.used = used;
        self.peak = self.peak.max(used);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            self.refused = Some("table_elements");
            return Ok(false);
        }
        let bytes = |elements: usize| elements.saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn tables(&self) -> usize {
        self.tables_max
    }

    fn memories(&self) -> usize {
        self.instances_max
    }
}
