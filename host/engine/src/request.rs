//! Requests under idempotency keys: how a repeated request gets the first answer instead of being done twice.
//!
//! A key belongs to the API key that sends it. It is taken before the request is done, and what comes of it
//! is written down after, in commands of their own: a request whose server died in between may have been
//! done or not, and a repeat of it is told so ([`RequestStart::Unanswered`]). One that failed is forgotten.
//! Actions have keys of another kind, which know more ([`crate::idempotency`]).

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::api_key::ApiKeyId;
use crate::idempotency::{IdempotencyKey, KEPT_MS};

/// A key, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    pub api_key: ApiKeyId,
    pub key: IdempotencyKey,
}

/// Tells one request from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of the parts that make a request what it is.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            // Where one part ends and the next begins matters, too.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().to_hex().to_string())
    }
}

/// A request that is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRequest {
    pub key: RequestKey,
    pub print: Fingerprint,
    pub now: Timestamp,
}

/// What a request that was done is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAnswer {
    pub status: u16,
    /// The header of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// JSON text, or nothing at all; `None` if it is not to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a store remembers of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRow {
    print: Fingerprint,
    begun_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<StoredAnswer>,
}

/// What comes of beginning a request under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestStart {
    /// It is to be done: nobody else has the key.
    First,
    /// It was done.
    Again(StoredAnswer),
    /// It was begun, and never answered.
    Unanswered,
    /// The key is another request's.
    Other,
}

impl RequestRow {
    #[must_use]
    pub fn begun(new: &NewRequest) -> Self {
        Self {
            print: new.print.clone(),
            begun_at: new.now,
            answer: None,
        }
    }

    #[must_use]
    pub fn answered(self, answer: StoredAnswer) -> Self {
        Self {
            answer: Some(answer),
            ..self
        }
    }

    /// When it is forgotten.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp(self.begun_at.0.saturating_add(KEPT_MS))
    }

    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at() <= now
    }

    /// What it means for a request with the same key.
    #[must_use]
    pub fn judge(&self, print: &Fingerprint) -> RequestStart {
        match &self.answer {
            _ if self.print != *print => RequestStart::Other,
            Some(answer) => RequestStart::Again(answer.clone()),
            None => RequestStart::Unanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_don_t_run_into_each_other() {
        let prints = [
            Fingerprint::of(&[b"POST", b"/v1/a"]),
            Fingerprint::of(&[b"POST/v1/a", b""]),
            Fingerprint::of(&[b"POST", b"/v1/a", b""]),
        ];
        assert!(prints[0] != prints[1] && prints[1] != prints[2] && prints[0] != prints[2]);
    }
}
