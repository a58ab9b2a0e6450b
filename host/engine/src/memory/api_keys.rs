//! API keys of the memory store.

use async_trait::async_trait;

use crate::Timestamp;
use crate::api_key::{ApiKey, ApiKeyId};
use crate::store::{ApiKeys, StoreError};

use super::{MemoryStore, not_found, rules};

#[async_trait]
impl ApiKeys for MemoryStore {
    async fn add_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.with(|state| {
            let count = state.api_keys.len();
            if rules::is_new_api_key(state.api_keys.get(&key.id), &key, count)? {
                state.api_keys.insert(key.id, key);
            }
            Ok(())
        })
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.with(|state| Ok(state.api_keys.values().cloned().collect()))
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        self.with(|state| {
            let key = state.api_keys.get_mut(&id);
            let key = key.ok_or_else(|| not_found("API key", &id))?;
            key.last_used_at = key.last_used_at.max(Some(at));
            Ok(())
        })
    }

    async fn remove_api_key(&self, id: ApiKeyId) -> Result<(), StoreError> {
        self.with(|state| {
            let removed = state.api_keys.remove(&id);
            removed.map(drop).ok_or_else(|| not_found("API key", &id))
        })
    }
}
