//! The idempotency keys of requests that are being done.

use std::collections::HashSet;

use parking_lot::Mutex;
use tidegate_engine::request::RequestKey;

/// The keys of requests that are being done.
#[derive(Debug, Default)]
pub(super) struct InFlightKeys(Mutex<HashSet<RequestKey>>);

impl InFlightKeys {
    /// `false` if a request with the key is being done already.
    pub(super) fn insert(&self, key: &RequestKey) -> bool {
        let mut keys = self.0.lock();
        keys.insert(key.clone())
    }

    pub(super) fn remove(&self, key: &RequestKey) {
        let mut keys = self.0.lock();
        keys.remove(key);
    }
}
