//! What the HTTP API keeps: its keys, and requests under idempotency keys.

use async_trait::async_trait;

use crate::Timestamp;
use crate::api_key::{ApiKey, ApiKeyId};
use crate::error::StoreError;
use crate::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};

/// API keys, of which there are few, so they are listed whole; and requests ([`crate::request`]).
#[async_trait]
pub trait Requests: Send + Sync {
    /// Keep a new key. Idempotent by what is added: `Exists` if its id stands for another one.
    /// `Full` when there are [`crate::limits::API_KEYS`] already.
    async fn add_api_key(&self, key: ApiKey) -> Result<(), StoreError>;
    /// All of them, by id. A host that keeps them in memory asks again from time to time: others add and remove some.
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// Write down that a key was used, unless a later use is written down. Hosts may say so in any order.
    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError>;
    /// Forget a key: from then on the store does not know it.
    async fn remove_api_key(&self, id: ApiKeyId) -> Result<(), StoreError>;

    /// Take the key of a request, unless one of the last 24 hours has it. Of several hosts that are sent the same
    /// request one is told that it is the first. `Full` when the API key has
    /// [`crate::limits::API_IDEMPOTENCY_KEYS`] of them already. A host that ends before it has answered leaves the key taken:
    /// whether the request was done is not known.
    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart, StoreError>;
    /// Keep what a request was answered with; without an answer it failed, and its key is free again. Only the host that was
    /// told that it is the first calls it. A key that is forgotten stays so.
    async fn end_request(
        &self,
        key: RequestKey,
        answer: Option<StoredAnswer>,
    ) -> Result<(), StoreError>;
}
