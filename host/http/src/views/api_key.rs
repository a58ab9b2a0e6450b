//! An API key, without the key.

use serde::Serialize;
use tidegate_engine::api_key::{self, ApiKeyId, KeyScope};
use tidegate_engine::grant::RateLimit;
use tidegate_service::display;
use utoipa::ToSchema;

/// An API key as it is listed: the key itself is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKey {
    #[schema(value_type = String)]
    id: ApiKeyId,
    name: String,
    #[schema(value_type = Vec<String>)]
    scopes: Vec<KeyScope>,
    created_at: String,
    expires_at: Option<String>,
    /// Not more exact than an hour.
    last_used_at: Option<String>,
    /// Instead of what holds for all keys.
    #[schema(value_type = Option<Object>)]
    rate_limit: Option<RateLimit>,
}

impl From<&api_key::ApiKey> for ApiKey {
    fn from(key: &api_key::ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            scopes: key.scopes.iter().copied().collect(),
            created_at: display::time(key.created_at),
            expires_at: key.expires_at.map(display::time),
            last_used_at: key.last_used_at.map(display::time),
            rate_limit: key.rate_limit,
        }
    }
}
