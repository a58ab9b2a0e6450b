//! API keys: made, listed and revoked.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_engine::api_key::{ApiKey, ApiKeyId, KeyScope, key_text};
use tidegate_engine::command;
use tidegate_engine::grant::RateLimit;
use tidegate_engine::integration::Digest;
use tidegate_engine::{StoreError, Timestamp};
use zeroize::Zeroizing;

use super::local::Local;
use super::wire_secrets;
use crate::problem::{Problem, Result};

/// An API key to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewApiKey {
    pub name: String,
    pub scopes: BTreeSet<KeyScope>,
    /// `None`: never.
    pub expires_in: Option<Duration>,
    /// Instead of what holds for all keys.
    pub rate_limit: Option<RateLimit>,
}

/// One that was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct MadeApiKey {
    pub key: ApiKey,
    /// The key itself: nobody can find it out again.
    #[serde(with = "wire_secrets::text")]
    pub text: Zeroizing<String>,
}

pub(super) async fn create(local: &Local, new: NewApiKey) -> Result<MadeApiKey> {
    let now = local.clock.now();
    let mut random = Zeroizing::new([0; 32]);
    crate::secrets::random(&mut *random)?;
    let text = Zeroizing::new(key_text(&random));
    let expires_at = |time: Duration| {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Timestamp(now.0.saturating_add(ms))
    };
    let key = ApiKey {
        id: ApiKeyId::from_parts(now, super::ids::next(now)?),
        name: new.name,
        digest: Digest::of(text.as_bytes()),
        scopes: new.scopes,
        created_at: now,
        expires_at: new.expires_in.map(expires_at),
        last_used_at: None,
        rate_limit: new.rate_limit,
    };
    key.check().map_err(Problem::invalid)?;
    local.store.add_api_key(key.clone()).await?;
    Ok(MadeApiKey { key, text })
}

pub(super) async fn revoke(local: &Local, id: ApiKeyId) -> Result<()> {
    match local.store.remove_api_key(id).await {
        Err(error @ StoreError::NotFound { .. }) => {
            Err(Problem::from(error).advise("list them with", command!("api-keys list")))
        }
        removed => Ok(removed?),
    }
}
