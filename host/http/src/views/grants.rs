//! What an integration is granted, and rates.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tidegate_engine::grant::{self, FeedGrant, HostPattern, RateLimitError};
use utoipa::ToSchema;

use super::text;

/// What the operator allows an integration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Grants {
    /// Origins that requests may go to, if the manifest requests them too.
    #[schema(value_type = Vec<text::HostPattern>)]
    hosts: Vec<HostPattern>,
    /// Private or loopback ranges that these may lie in.
    #[schema(value_type = Vec<text::IpRange>)]
    private: Vec<IpNet>,
    /// Origins that the host may get tokens from. Left out if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<text::HostPattern>, required = false)]
    token_hosts: Vec<HostPattern>,
    /// Change feeds of others that it may read.
    #[schema(value_type = Vec<text::FeedGrant>)]
    feeds: Vec<FeedGrant>,
    /// It may merge its connections' metadata.
    metadata_write: bool,
    /// There if true: the manifest's default schedules start for each connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    auto_start: bool,
    /// Limits other than the defaults, by name (docs/limits.md).
    limits: BTreeMap<String, u64>,
    /// How fast each connection may ask each origin, instead of what the manifest requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
}

impl From<&grant::Grants> for Grants {
    fn from(grants: &grant::Grants) -> Self {
        let grant::Grants {
            hosts,
            private,
            token_hosts,
            feeds,
            metadata_write,
            auto_start,
            limits,
            rate_limit,
        } = grants.clone();
        Self {
            hosts,
            private,
            token_hosts,
            feeds,
            metadata_write,
            auto_start,
            limits,
            rate_limit: rate_limit.map(Into::into),
        }
    }
}

/// How fast: in any stretch of `per_ms` at most `requests` and `burst` together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RateLimitBody")]
pub(crate) struct RateLimit {
    #[schema(minimum = 1)]
    requests: u32,
    /// Milliseconds, at most a day.
    #[schema(minimum = 1, maximum = 86_400_000)]
    per_ms: u64,
    /// How many may come at once after a silence, at most `requests`; 1 unless it is given.
    #[schema(minimum = 1, required = false)]
    burst: u32,
}

/// As it is asked for, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitBody {
    requests: u32,
    per_ms: u64,
    #[serde(default = "one")]
    burst: u32,
}

impl From<grant::RateLimit> for RateLimit {
    fn from(rate: grant::RateLimit) -> Self {
        Self {
            requests: rate.requests(),
            per_ms: rate.per_ms(),
            burst: rate.burst(),
        }
    }
}

impl TryFrom<RateLimit> for grant::RateLimit {
    type Error = RateLimitError;

    fn try_from(rate: RateLimit) -> Result<Self, RateLimitError> {
        Self::new(rate.requests, rate.per_ms, rate.burst)
    }
}

fn one() -> u32 {
    1
}

impl TryFrom<RateLimitBody> for RateLimit {
    type Error = RateLimitError;

    fn try_from(body: RateLimitBody) -> Result<Self, RateLimitError> {
        grant::RateLimit::new(body.requests, body.per_ms, body.burst).map(Into::into)
    }
}
