//! Plugins that are compiled, linked and in memory, so that a run needs not read and hash its component.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tidegate_engine::integration::Digest;
use tidegate_runtime::Plugin;

/// Most that are kept; the one that was not used for longest goes.
const KEPT: NonZeroUsize = match NonZeroUsize::new(128) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// What was loaded, by digest: a component never changes.
#[derive(Debug)]
pub(super) struct Plugins(Mutex<LruCache<Digest, Plugin>>);

impl Default for Plugins {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Plugins {
    pub(super) fn get(&self, digest: Digest) -> Option<Plugin> {
        let mut loaded = self.0.lock();
        loaded.get(&digest).cloned()
    }

    pub(super) fn put(&self, plugin: Plugin) {
        let mut loaded = self.0.lock();
        loaded.put(plugin.digest(), plugin);
    }
}
