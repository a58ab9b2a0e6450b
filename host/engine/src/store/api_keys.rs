//! The commands on API keys.

use async_trait::async_trait;

use super::StoreError;
use crate::Timestamp;
use crate::api_key::{ApiKey, ApiKeyId};

/// What a backend does for API keys: few of them, so they are listed whole.
#[async_trait]
pub trait ApiKeys {
    /// Keep a new key. Fine if it is there just so; `Exists` if its id stands for another one,
    /// `Full` when there are [`crate::limits::API_KEYS`] already.
    async fn add_api_key(&self, key: ApiKey) -> Result<(), StoreError>;
    /// All of them, by id.
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    /// Write down that a key was used, unless a later use is written down.
    async fn touch_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<(), StoreError>;
    /// Forget a key: from then on nothing knows it.
    async fn remove_api_key(&self, id: ApiKeyId) -> Result<(), StoreError>;
}
