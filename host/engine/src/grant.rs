//! Which origins, address ranges and feeds the operator allows: parse, match, explain a refusal.

mod pattern;
mod rate;

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Name;
use crate::limits::LimitValues;

pub use pattern::{HostPattern, HostRequest, PatternError};
pub use rate::{RATE_PER_MS_MAX, RateLimit, RateLimitError};

/// What the operator allows an integration. A missing list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Origins that requests may go to, if the manifest requests them too.
    pub hosts: Vec<HostPattern>,
    /// Private or loopback ranges that names and addresses may lie in.
    pub private: Vec<IpNet>,
    /// Origins of token endpoints that the host may ask with a connection's OAuth 2 credentials. The
    /// plugin's own requests can't go there by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_hosts: Vec<HostPattern>,
    /// Change feeds of other integrations that it may read.
    pub feeds: Vec<FeedPattern>,
    /// It may merge its connections' metadata.
    pub metadata_write: bool,
    /// Limits other than the defaults.
    pub limits: LimitValues,
    /// How fast each connection may ask each origin, instead of what the manifest requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// `integration/model`: a change feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedPattern {
    pub integration: Name,
    pub model: Name,
}

/// A text is not a feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a feed: write INTEGRATION/MODEL, such as crm/Contact")]
pub struct FeedError(String);

impl FromStr for FeedPattern {
    type Err = FeedError;
    fn from_str(text: &str) -> Result<Self, FeedError> {
        let error = || FeedError(text.chars().take(150).collect());
        let (integration, model) = text.split_once('/').ok_or_else(error)?;
        Ok(Self {
            integration: integration.parse().map_err(|_| error())?,
            model: model.parse().map_err(|_| error())?,
        })
    }
}

impl TryFrom<String> for FeedPattern {
    type Error = FeedError;
    fn try_from(text: String) -> Result<Self, FeedError> {
        text.parse()
    }
}

impl From<FeedPattern> for String {
    fn from(feed: FeedPattern) -> Self {
        feed.to_string()
    }
}

impl fmt::Display for FeedPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.integration, self.model)
    }
}

#[cfg(test)]
mod tests;
