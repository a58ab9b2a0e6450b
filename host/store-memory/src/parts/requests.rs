//! API keys, and requests under idempotency keys: each command takes the lock, and does its part of the state's work.

use async_trait::async_trait;
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::request::{NewRequest, RequestKey, RequestRow, RequestStart, StoredAnswer};
use tidegate_engine::store::{Requests, rules};
use tidegate_engine::{StoreError, Timestamp};

use crate::{MemoryStore, not_found};

#[async_trait]
impl Requests for MemoryStore {
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

    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart, StoreError> {
        self.with(|state| {
            let requests = &mut state.requests;
            requests.retain(|_, row| !row.is_expired(new.now));
            if let Some(row) = requests.get(&new.key) {
                return Ok(row.judge(&new.print));
            }
            let own = requests.keys();
            let own = own.filter(|key| key.api_key == new.key.api_key).count();
            rules::check_request_room(own as u64, tidegate_engine::limits::API_IDEMPOTENCY_KEYS)?;
            requests.insert(new.key.clone(), RequestRow::begun(&new));
            Ok(RequestStart::First)
        })
    }

    async fn end_request(
        &self,
        key: RequestKey,
        answer: Option<StoredAnswer>,
    ) -> Result<(), StoreError> {
        self.with(|state| {
            if let (Some(row), Some(answer)) = (state.requests.remove(&key), answer) {
                state.requests.insert(key, row.answered(answer));
            }
            Ok(())
        })
    }
}
