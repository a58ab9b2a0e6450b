//! Requests under idempotency keys of the memory store.

use async_trait::async_trait;

use crate::request::{NewRequest, RequestKey, RequestRow, RequestStart, StoredAnswer};
use crate::store::{Requests, StoreError};

use super::{MemoryStore, rules};

#[async_trait]
impl Requests for MemoryStore {
    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart, StoreError> {
        self.with(|state| {
            let requests = &mut state.requests;
            requests.retain(|_, row| !row.is_expired(new.now));
            if let Some(row) = requests.get(&new.key) {
                return Ok(row.judge(&new.print));
            }
            let own = requests.keys();
            let own = own.filter(|key| key.api_key == new.key.api_key).count();
            rules::check_request_room(own as u64, crate::limits::API_IDEMPOTENCY_KEYS)?;
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
