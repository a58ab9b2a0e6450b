//! Deployments and connections: which plugin runs under which name, with which grants, for whom.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Digest as _;

use crate::grant::Grants;
use crate::health::{Health, Hold};
use crate::job::JobTarget;
use crate::manifest::Manifest;
use crate::{ConnectionKey, Name, Timestamp};

pub use tidegate_rules::metadata::merge;

/// The sha256 of a component's bytes: a plugin's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sha256 digest: expected 64 hexadecimal digits")]
pub struct DigestError;

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// One deployment of a component under an integration's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Counts from 1 for each integration.
    pub number: u32,
    pub digest: Digest,
    pub manifest: Manifest,
    pub grants: Grants,
    /// Config shared by all connections; a connection's own is merged over it.
    pub config: Map<String, Value>,
    pub deployed_at: Timestamp,
}

/// A plugin deployed under a name, with its earlier deployments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    pub name: Name,
    pub current: Deployment,
    /// Newest first, at most [`Self::KEPT`].
    pub earlier: Vec<Deployment>,
}

impl Integration {
    /// Earlier deployments kept.
    pub const KEPT: usize = 10;
}

/// What to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    pub integration: Name,
    pub digest: Digest,
    pub manifest: Manifest,
    pub grants: Grants,
    pub config: Map<String, Value>,
    pub now: Timestamp,
}

/// The token endpoint has rejected a connection's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthFailed {
    pub at: Timestamp,
    /// What it said, without secrets.
    pub message: String,
}

/// One customer's account at an integration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub key: ConnectionKey,
    /// Where the account's API is; requests with a relative URL go there, with credentials.
    pub base_url: url::Url,
    pub config: Map<String, Value>,
    pub metadata: Map<String, Value>,
    /// What the operator groups connections by. Bounds are in [`crate::connection`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What the application calls the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Names of its secrets, which may be shown.
    pub secret_names: Vec<String>,
    /// The secrets themselves, sealed by the server; the store never reads them.
    pub sealed_secrets: Vec<u8>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Counts its changes, from 0: an update names the one that it has seen.
    #[serde(default)]
    pub revision: u64,
    /// Why nothing is run for it until it has other credentials, or a check of it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_failed: Option<Box<AuthFailed>>,
    /// Which of its syncs and actions fail, and which of them are held.
    #[serde(default, skip_serializing_if = "Health::is_well")]
    pub health: Health,
}

impl Connection {
    /// Why nothing is started by itself for a sync or an action of it, if so.
    #[must_use]
    pub fn hold_of(&self, target: &JobTarget) -> Option<Hold> {
        match self.auth_failed {
            Some(_) => Some(Hold::AuthFailed),
            None => self.health.hold_of(target),
        }
    }

    /// Since when its credentials are not accepted and why, by its token endpoint or by its API.
    #[must_use]
    pub fn auth_failure(&self) -> Option<(Timestamp, String)> {
        let told = self.auth_failed.as_ref();
        let told = told.map(|failed| (failed.at, failed.message.clone()));
        told.or_else(|| self.held(Hold::AuthFailed))
    }

    /// Since when its config or its grants can't work, and why.
    #[must_use]
    pub fn config_failure(&self) -> Option<(Timestamp, String)> {
        self.held(Hold::ConfigFailed)
    }

    fn held(&self, hold: Hold) -> Option<(Timestamp, String)> {
        let (label, failing) = self.health.held(hold)?;
        Some((failing.since, format!("{label}: {}", failing.message)))
    }

    /// Whether nothing that it runs is known to fail.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.auth_failed.is_none() && self.health.is_well()
    }
}

impl Connection {
    /// The origin of its base URL: the only place that its secrets are sent to.
    #[must_use]
    pub fn origin(&self) -> String {
        self.base_url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("key", &self.key)
            .field("base_url", &self.base_url.as_str())
            .field("secret_names", &self.secret_names)
            .finish_non_exhaustive()
    }
}
