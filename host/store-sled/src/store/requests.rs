//! API keys, and requests under idempotency keys.

use async_trait::async_trait;
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::store::Requests;
use tidegate_engine::{StoreError, Timestamp};

use super::SledStore;
use crate::lists;

#[async_trait]
impl Requests for SledStore {
    async fn add_api_key(&self, key: ApiKey) -> Result<(), StoreError> {
        self.write(move |writer| writer.add_api_key(&key)).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.view(lists::api_keys).await
    }

    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |writer| writer.touch_api_key(id, at)).await
    }

    async fn remove_api_key(&self, id: ApiKeyId) -> Result<(), StoreError> {
        self.write(move |writer| writer.remove_api_key(id)).await
    }

    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart, StoreError> {
        self.write(move |writer| writer.begin_request(&new)).await
    }

    async fn end_request(
        &self,
        key: RequestKey,
        answer: Option<StoredAnswer>,
    ) -> Result<(), StoreError> {
        self.write(move |writer| writer.end_request(&key, answer))
            .await
    }
}
