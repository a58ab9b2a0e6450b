//! Which origins, address ranges and feeds the operator allows: parse, match, explain a refusal.

mod feed;
mod flag;
mod pattern;
mod rate;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::limits::LimitValues;

pub use feed::{FeedError, FeedGrant, FeedPattern, FeedScope};
pub use flag::GrantFlag;
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
    pub feeds: Vec<FeedGrant>,
    /// It may merge its connections' metadata.
    pub metadata_write: bool,
    /// The manifest's default schedules start for each connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_start: bool,
    /// Limits other than the defaults.
    pub limits: LimitValues,
    /// How fast each connection may ask each origin, instead of what the manifest requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

#[cfg(test)]
mod tests;
