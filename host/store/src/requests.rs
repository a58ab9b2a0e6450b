//! The trait's commands on requests under idempotency keys.

use async_trait::async_trait;
use tidegate_engine::StoreError;
use tidegate_engine::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};
use tidegate_engine::store::Requests;

use crate::store::SledStore;

#[async_trait]
impl Requests for SledStore {
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
