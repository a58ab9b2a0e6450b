//! The options of `tidegate deploy` that grant something, each written in this one place.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{FeedGrant, Grants, HostPattern, RateLimit};
use crate::command_line::quoted;

/// One option of `tidegate deploy` that grants one thing. Shown as a shell takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantFlag {
    Host(HostPattern),
    /// The origin of the connections' base URLs, which the operator knows.
    BaseUrlHost,
    Private(IpNet),
    TokenHost(HostPattern),
    /// The origin of a token URL that the connections' configs name.
    ConfigTokenHost,
    Feed(FeedGrant),
    /// A feed that the connections' configs name.
    ConfigFeed,
    MetadataWrite,
    AutoStart,
    Limit(String, u64),
    RateLimit(RateLimit),
}

impl fmt::Display for GrantFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            write!(f, "{name} {}", quoted(&value.to_string()))
        };
        match self {
            Self::Host(pattern) if *pattern == HostPattern::any_host() => {
                f.write_str("--allow-any-host")
            }
            // Every host of another port can't be granted: the operator names one.
            Self::Host(pattern) => match pattern.any_host_port() {
                Some(port) => write!(f, "--allow-host https://HOST:{port}"),
                None => option(f, "--allow-host", pattern),
            },
            Self::BaseUrlHost => f.write_str("--allow-host https://HOST-OF-THE-BASE-URL"),
            Self::Private(range) => option(f, "--allow-private", range),
            Self::TokenHost(pattern) => option(f, "--allow-token-host", pattern),
            Self::ConfigTokenHost => {
                f.write_str("--allow-token-host https://HOST-OF-THE-TOKEN-URL")
            }
            Self::Feed(feed) => option(f, "--allow-feed", feed),
            Self::ConfigFeed => f.write_str("--allow-feed INTEGRATION/MODEL"),
            Self::MetadataWrite => f.write_str("--allow-metadata-write"),
            Self::AutoStart => f.write_str("--auto-start"),
            Self::Limit(name, value) => option(f, "--limit", &format_args!("{name}={value}")),
            Self::RateLimit(rate) => option(f, "--rate-limit", rate),
        }
    }
}

impl Grants {
    /// The options that grant all of it.
    #[must_use]
    pub fn flags(&self) -> Vec<GrantFlag> {
        let Self {
            hosts,
            private,
            token_hosts,
            feeds,
            metadata_write,
            auto_start,
            limits,
            rate_limit,
        } = self;
        let hosts = hosts.iter().cloned().map(GrantFlag::Host);
        let private = private.iter().copied().map(GrantFlag::Private);
        let token_hosts = token_hosts.iter().cloned().map(GrantFlag::TokenHost);
        let feeds = feeds.iter().cloned().map(GrantFlag::Feed);
        let limits = limits.iter();
        let limits = limits.map(|(name, value)| GrantFlag::Limit(name.clone(), *value));
        hosts
            .chain(private)
            .chain(token_hosts)
            .chain(feeds)
            .chain(metadata_write.then_some(GrantFlag::MetadataWrite))
            .chain(auto_start.then_some(GrantFlag::AutoStart))
            .chain(limits)
            .chain(rate_limit.map(GrantFlag::RateLimit))
            .collect()
    }
}
