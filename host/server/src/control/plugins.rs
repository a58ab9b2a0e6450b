//! Plugins that are compiled, linked and in memory, so that a run needs not read and hash its component.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tidegate_engine::integration::Digest;
use tidegate_runtime::Plugin;

/// Most that are kept; the one that was not used for longest goes.
const KEPT: usize = 128;

/// What was loaded, by digest: a component never changes.
#[derive(Debug, Default)]
pub(super) struct Plugins(Mutex<Loaded>);

#[derive(Debug, Default)]
struct Loaded {
    /// With the use that was the last.
    plugins: HashMap<Digest, (Plugin, u64)>,
    uses: u64,
}

impl Plugins {
    pub(super) fn get(&self, digest: Digest) -> Option<Plugin> {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.uses += 1;
        let uses = loaded.uses;
        let (plugin, used) = loaded.plugins.get_mut(&digest)?;
        *used = uses;
        Some(plugin.clone())
    }

    pub(super) fn put(&self, plugin: Plugin) {
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.uses += 1;
        let uses = loaded.uses;
        loaded.plugins.insert(plugin.digest(), (plugin, uses));
        if loaded.plugins.len() > KEPT {
            let oldest = loaded.plugins.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(digest) = oldest.map(|(digest, _)| *digest) {
                loaded.plugins.remove(&digest);
            }
        }
    }
}
