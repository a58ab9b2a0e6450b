//! API keys: whom the HTTP API answers, for what and until when.
//!
//! The key itself, `tgk_` and 32 random bytes in base64url, is shown once; what is kept is its sha256.
//! It has 256 bits of chance, so that a plain hash is enough: there is nothing to guess.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::command;
use crate::grant::RateLimit;
use crate::integration::Digest;

/// Longest name of a key, in bytes; at least one, without control characters.
pub const KEY_NAME_BYTES_MAX: usize = 100;
/// How exactly a key's last use is remembered: it is written at most once in this time.
pub const LAST_USED_MS: u64 = 60 * 60 * 1000;

/// What every key begins with, so that a leaked one is found by a search for it.
const PREFIX: &str = "tgk_";

/// Identifies a key without being it: `key_` and a ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiKeyId(ulid::Ulid);

/// Why something about a key is not right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    #[error(
        "{0:?} is not the id of an API key: one looks like key_01JD3…, as `{list}` lists them",
        list = command!("api-keys list")
    )]
    Id(String),
    #[error("{0:?} is not a scope: the scopes are read, trigger and manage")]
    Scope(String),
    #[error("a key without a scope may do nothing: the scopes are read, trigger and manage")]
    NoScope,
    #[error("the name of an API key has 1 to {KEY_NAME_BYTES_MAX} bytes and no control characters")]
    Name,
    #[error("the key would have expired already")]
    Expired,
}

impl ApiKeyId {
    /// A new id from the time and 80 random bits, both the caller's.
    #[must_use]
    pub fn from_parts(now: Timestamp, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(now.0, random))
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("key_{}", self.0))
    }
}

impl FromStr for ApiKeyId {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        text.strip_prefix("key_")
            .and_then(|id| ulid::Ulid::from_string(id).ok())
            .map(Self)
            .ok_or_else(|| ApiKeyError::Id(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for ApiKeyId {
    type Error = ApiKeyError;
    fn try_from(text: String) -> Result<Self, ApiKeyError> {
        text.parse()
    }
}

impl From<ApiKeyId> for String {
    fn from(id: ApiKeyId) -> Self {
        id.to_string()
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Seeing everything but credentials.
    Read,
    /// Starting and cancelling runs, invoking actions, sending requests through the proxy.
    Trigger,
    /// Changing what is deployed and connected, the data and the keys. Who may deploy a plugin can
    /// do anything, so it implies the other two.
    Manage,
}

impl KeyScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Trigger, Self::Manage];

    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trigger => "trigger",
            Self::Manage => "manage",
        }
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyScope {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| ApiKeyError::Scope(text.chars().take(60).collect()))
    }
}

/// A key as it is stored and listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    /// What people call it; need not be unique.
    pub name: String,
    /// The sha256 of the key.
    pub digest: Digest,
    pub scopes: BTreeSet<KeyScope>,
    pub created_at: Timestamp,
    /// From then on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Not more exact than [`LAST_USED_MS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// How fast it may ask, instead of what holds for all keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

impl ApiKey {
    /// Whether it is for this: has the scope, or `manage`.
    #[must_use]
    pub fn allows(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&KeyScope::Manage)
    }

    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Check all that has bounds.
    pub fn check(&self) -> Result<(), ApiKeyError> {
        let name = &self.name;
        if !(1..=KEY_NAME_BYTES_MAX).contains(&name.len()) || name.contains(char::is_control) {
            return Err(ApiKeyError::Name);
        }
        if self.scopes.is_empty() {
            return Err(ApiKeyError::NoScope);
        }
        match self.is_expired(self.created_at) {
            true => Err(ApiKeyError::Expired),
            false => Ok(()),
        }
    }
}

/// The text of a key from 32 random bytes.
#[must_use]
pub fn key_text(random: &[u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// What a text that may be a key is looked up by; `None` if it can't be one.
#[must_use]
pub fn key_digest(text: &str) -> Option<Digest> {
    let random = text.strip_prefix(PREFIX)?;
    let decoded = URL_SAFE_NO_PAD.decode(random).ok()?;
    (decoded.len() == 32).then(|| Digest::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[KeyScope]) -> ApiKey {
        ApiKey {
            id: ApiKeyId::from_parts(Timestamp(5), 7),
            name: "reader".to_owned(),
            digest: Digest::of(b"x"),
            scopes: scopes.iter().copied().collect(),
            created_at: Timestamp(5),
            expires_at: Some(Timestamp(100)),
            last_used_at: None,
            rate_limit: None,
        }
    }

    #[test]
    fn manage_implies_the_others_and_nothing_else_does() {
        use KeyScope::{Manage, Read, Trigger};
        let rows = [
            (&[Read][..], [true, false, false]),
            (&[Trigger], [false, true, false]),
            (&[Read, Trigger], [true, true, false]),
            (&[Manage], [true, true, true]),
            (&[], [false, false, false]),
        ];
        for (scopes, allowed) in rows {
            let key = key(scopes);
            assert_eq!(KeyScope::ALL.map(|scope| key.allows(scope)), allowed);
        }
    }

    #[test]
    fn keys_expire_at_their_moment() {
        let key = key(&[KeyScope::Read]);
        for (now, expired) in [(99, false), (100, true), (101, true)] {
            assert_eq!(key.is_expired(Timestamp(now)), expired, "{now}");
        }
    }

    #[test]
    fn bounds() {
        let with = |change: fn(&mut ApiKey)| {
            let mut key = key(&[KeyScope::Read]);
            change(&mut key);
            key.check()
        };
        let rows = [
            (with(|_| {}), Ok(())),
            (with(|key| key.name.clear()), Err(ApiKeyError::Name)),
            (
                with(|key| key.name = "x".repeat(101)),
                Err(ApiKeyError::Name),
            ),
            (with(|key| key.name = "x".repeat(100)), Ok(())),
            (
                with(|key| key.name = "a\nb".to_owned()),
                Err(ApiKeyError::Name),
            ),
            (with(|key| key.scopes.clear()), Err(ApiKeyError::NoScope)),
            (
                with(|key| key.expires_at = Some(key.created_at)),
                Err(ApiKeyError::Expired),
            ),
            (with(|key| key.expires_at = None), Ok(())),
        ];
        for (row, (checked, want)) in rows.into_iter().enumerate() {
            assert_eq!(checked, want, "row {row}");
        }
    }

    #[test]
    fn texts_are_told_from_keys() {
        let text = key_text(&[0xfe; 32]);
        assert_eq!(text.len(), 4 + 43);
        assert_eq!(key_digest(&text), Some(Digest::of(text.as_bytes())));
        let other = text.replace("tgk_", "tgx_");
        for bad in [
            "",
            "tgk_",
            &text[..46],
            &format!("{text}A"),
            &other,
            "tgk_é",
        ] {
            assert_eq!(key_digest(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ids_and_scopes_are_texts() {
        let id = ApiKeyId::from_parts(Timestamp(5), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("run_01JD3".parse::<ApiKeyId>().is_err());
        for scope in KeyScope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("admin".parse::<KeyScope>().is_err());
    }
}
