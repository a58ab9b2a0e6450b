//! The trait's commands on API keys.

use async_trait::async_trait;
use tidegate_engine::api_key::{ApiKey, ApiKeyId};
use tidegate_engine::store::ApiKeys;
use tidegate_engine::{StoreError, Timestamp};

use crate::lists;
use crate::store::SledStore;

#[async_trait]
impl ApiKeys for SledStore {
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
}
