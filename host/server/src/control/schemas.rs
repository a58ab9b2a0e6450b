//! Compiled schemas of the components that run, so that a call needs not compile them again.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use lru::LruCache;
use serde_json::Value;
use tidegate_engine::integration::Digest;

use super::schema;
use crate::problem::Result;

/// Most that are kept; the one that was not used for longest goes.
const KEPT: NonZeroUsize = match NonZeroUsize::new(1024) {
    Some(most) => most,
    None => NonZeroUsize::MIN,
};

/// By component, which never changes, and place in its manifest.
pub(super) struct Schemas(Mutex<LruCache<(Digest, String), Arc<Validator>>>);

impl Default for Schemas {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl Schemas {
    /// The schema at `path` of the component's manifest, compiled.
    pub(super) fn get(
        &self,
        digest: Digest,
        path: String,
        schema: &Value,
    ) -> Result<Arc<Validator>> {
        let place = (digest, path);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = kept.get(&place) {
            return Ok(Arc::clone(validator));
        }
        // Not while others wait.
        drop(kept);
        let validator = Arc::new(schema::compile(&place.1, schema)?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(place, Arc::clone(&validator));
        Ok(validator)
    }
}
