//! An API key, without the key.

use serde::Serialize;
use tidegate_engine::api_key::{self, ApiKeyId};
use utoipa::ToSchema;

use super::grants::RateLimit;
use super::text::{self, Time};
use super::word::words;

words! {
    /// What a key may be used for.
    pub(crate) enum KeyScope of api_key::KeyScope, and back {
        /// Seeing everything but credentials.
        Read = "read",
        /// Starting and cancelling runs, invoking actions, checking connections, the proxy.
        Trigger = "trigger",
        /// Changing what is deployed and connected, the data and the keys; it implies the other two.
        Manage = "manage",
    }
}

/// An API key as it is listed: the key itself is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKey {
    #[schema(value_type = text::ApiKeyId)]
    id: ApiKeyId,
    name: String,
    scopes: Vec<KeyScope>,
    created_at: Time,
    expires_at: Option<Time>,
    /// Not more exact than an hour.
    last_used_at: Option<Time>,
    /// Instead of what holds for all keys.
    rate_limit: Option<RateLimit>,
}

impl From<&api_key::ApiKey> for ApiKey {
    fn from(key: &api_key::ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            scopes: key.scopes.iter().map(|scope| (*scope).into()).collect(),
            created_at: Time(key.created_at),
            expires_at: key.expires_at.map(Time),
            last_used_at: key.last_used_at.map(Time),
            rate_limit: key.rate_limit.map(Into::into),
        }
    }
}
