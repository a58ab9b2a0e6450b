//! Integrations by name, each decoded once for as long as its row stays the same: every run asks for one,
//! with the manifests of all its deployments.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use tidegate_engine::integration::Integration;
use tidegate_engine::{Name, StoreError};

use crate::disk::{Rows, damaged};
use crate::layout::keys;
use crate::layout::rows;
use crate::lists::not_found;

/// Integrations kept, those that were asked for last.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// The longest row kept, in bytes: an honest one has some 10 KiB.
const ROW_MAX: usize = 256 * 1024;

/// What was decoded last.
pub(crate) struct Integrations(Mutex<LruCache<Name, Known>>);

struct Known {
    /// What it was decoded from.
    row: sled::IVec,
    integration: Arc<Integration>,
}

impl std::fmt::Debug for Integrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Integrations").finish_non_exhaustive()
    }
}

impl Default for Integrations {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Integrations {
    pub(crate) fn get(&self, view: &Rows<'_>, name: &Name) -> Result<Arc<Integration>, StoreError> {
        let key = keys::integration(name);
        let row = view.get(&key)?;
        let row = row.ok_or_else(|| not_found("integration", name))?;
        if let Some(known) = self.known().get(name)
            && known.row == row
        {
            return Ok(Arc::clone(&known.integration));
        }
        let decoded = rows::decode(&row).map_err(|corrupt| damaged(key.as_ref(), corrupt));
        let integration = Arc::new(decoded?);
        if row.len() <= ROW_MAX {
            let known = Known {
                row,
                integration: Arc::clone(&integration),
            };
            self.known().put(name.clone(), known);
        }
        Ok(integration)
    }

    fn known(&self) -> MutexGuard<'_, LruCache<Name, Known>> {
        self.0.lock()
    }
}
