//! Compiled schemas of the components that run, so that a call needs not compile them again.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tidegate_engine::integration::Digest;
use tidegate_engine::limits::SCHEMA_CACHE_BYTES;

use super::schema::Schema;
use crate::problem::{Problem, Result};

/// By component and place in its manifest.
type Place = (Digest, String);

/// What is kept, in bytes rather than numbers: one may take as much as thousands of others.
pub(super) struct Schemas {
    kept: Mutex<CachedSchema>,
    bytes_max: u64,
}

struct CachedSchema {
    schemas: LruCache<Place, Entry>,
    bytes: u64,
}

struct Entry {
    /// What it was compiled from. A manifest is its component's, and where it is not, it gets what it says.
    source: Value,
    schema: Arc<Schema>,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.schema.bytes()
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self::with_room(SCHEMA_CACHE_BYTES)
    }
}

impl std::fmt::Debug for Schemas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schemas").finish_non_exhaustive()
    }
}

impl Schemas {
    fn with_room(bytes_max: u64) -> Self {
        let kept = CachedSchema {
            schemas: LruCache::unbounded(),
            bytes: 0,
        };
        Self {
            kept: Mutex::new(kept),
            bytes_max,
        }
    }

    fn kept(&self) -> MutexGuard<'_, CachedSchema> {
        self.kept.lock()
    }

    /// The schema at `path` of the component's manifest, compiled.
    pub(super) async fn get(
        &self,
        digest: Digest,
        path: String,
        source: &Value,
    ) -> Result<Arc<Schema>> {
        let place = (digest, path);
        if let Some(entry) = self.kept().schemas.get(&place)
            && entry.source == *source
        {
            return Ok(Arc::clone(&entry.schema));
        }
        // Not while others wait, and not where they are served.
        let (path, source) = (place.1.clone(), source.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let schema = Schema::compile(&path, &source)?;
            Ok::<_, Problem>((Arc::new(schema), source))
        });
        let (schema, source) = compiled.await.map_err(Problem::internal)??;
        let entry = Entry {
            source,
            schema: Arc::clone(&schema),
        };
        self.keep(place, entry);
        Ok(schema)
    }

    fn keep(&self, place: Place, entry: Entry) {
        let mut kept = self.kept();
        kept.bytes = kept.bytes.saturating_add(entry.bytes());
        if let Some((_, old)) = kept.schemas.push(place, entry) {
            kept.bytes = kept.bytes.saturating_sub(old.bytes());
        }
        // The newest may be larger than all the room; it goes, too, and is compiled each time.
        while kept.bytes > self.bytes_max {
            let Some((_, oldest)) = kept.schemas.pop_lru() else {
                return;
            };
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_bytes() {
        let digest = Digest::of(b"component");
        let schema = |number: usize| json!({"type": "object", "title": "x".repeat(number)});
        let one = Schema::compile("config", &schema(1_000)).unwrap().bytes();
        let schemas = Schemas::with_room(one * 3);
        for number in 0..10 {
            let path = format!("config {number}");
            schemas.get(digest, path, &schema(1_000)).await.unwrap();
        }
        assert_eq!(schemas.kept().schemas.len(), 3);
        assert!(schemas.kept().bytes <= one * 3);
        // One that is larger than all the room is not kept, and leaves nothing behind.
        let large = schema(usize::try_from(one).unwrap() * 3);
        schemas
            .get(digest, "large".to_owned(), &large)
            .await
            .unwrap();
        let kept = schemas.kept();
        assert_eq!((kept.schemas.len(), kept.bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_place_is_not_enough_to_be_the_same() {
        let (schemas, digest) = (Schemas::default(), Digest::of(b"component"));
        let get = async |schema: Value| {
            let found = schemas.get(digest, "config".to_owned(), &schema).await;
            found.unwrap()
        };
        let text = get(json!({"type": "string"})).await;
        let number = get(json!({"type": "number"})).await;
        assert!(text.violations(json!("x")).await.is_empty());
        assert!(number.violations(json!(1)).await.is_empty());
        let kept = schemas.kept();
        assert_eq!((kept.schemas.len(), kept.bytes), (1, number.bytes()));
    }
}
