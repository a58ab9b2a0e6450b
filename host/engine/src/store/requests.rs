//! The commands on requests under idempotency keys.

use async_trait::async_trait;

use super::StoreError;
use crate::request::{NewRequest, RequestKey, RequestStart, StoredAnswer};

/// What a backend does for requests under idempotency keys ([`crate::request`]).
#[async_trait]
pub trait Requests {
    /// Take the key of a request, unless one of the last 24 hours has it. `Full` when the API key has
    /// [`crate::limits::API_IDEMPOTENCY_KEYS`] of them already.
    async fn begin_request(&self, new: NewRequest) -> Result<RequestStart, StoreError>;
    /// Keep what a request was answered with; without an answer it failed, and its key is free again. A key
    /// that is forgotten stays so.
    async fn end_request(
        &self,
        key: RequestKey,
        answer: Option<StoredAnswer>,
    ) -> Result<(), StoreError>;
}
