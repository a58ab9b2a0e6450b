//! The numbers of connections, remembered: every fire and every run asks for one, and its row has much more.

use std::num::NonZeroUsize;

use lru::LruCache;
use tidegate_engine::ConnectionKey;

/// Connections remembered, those that were asked for last: some 2 MB.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// What was read last. Only the writer thread gives numbers out and takes connections away, so it knows
/// when to forget.
pub(super) struct Numbers(LruCache<ConnectionKey, u64>);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbers").finish_non_exhaustive()
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self(LruCache::new(KEPT))
    }
}

impl Numbers {
    pub(super) fn get(&mut self, key: &ConnectionKey) -> Option<u64> {
        self.0.get(key).copied()
    }

    pub(super) fn put(&mut self, key: ConnectionKey, number: u64) {
        self.0.put(key, number);
    }

    /// A connection was removed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
