//! Which origins, address ranges and feeds the operator allows: parse, match, explain a refusal.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::Name;
use crate::limits::LimitValues;

/// What the operator allows an integration. A missing list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Origins that requests may go to, if the manifest requests them too.
    pub hosts: Vec<HostPattern>,
    /// Private or loopback ranges that names and addresses may lie in.
    pub private: Vec<IpNet>,
    /// Change feeds of other integrations that it may read.
    pub feeds: Vec<FeedPattern>,
    /// It may merge its connections' metadata.
    pub metadata_write: bool,
    /// Limits other than the defaults.
    pub limits: LimitValues,
}

/// Why a text is not a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("{0:?} has no scheme: write https://{0}")]
    NoScheme(String),
    #[error("{0:?}: the scheme must be http or https")]
    Scheme(String),
    #[error(
        "{0:?} would let the plugin reach every host on the internet; name the hosts it needs, \
         such as https://api.example.com or https://*.example.com"
    )]
    Everything(String),
    #[error(
        "{0:?}: a wildcard stands only for the whole first part of a name, as in https://*.example.com"
    )]
    Wildcard(String),
    #[error("{0:?} has a path, query, user or fragment; a grant is scheme://host[:port]")]
    NotAnOrigin(String),
    #[error("{0:?} is not a host: {1}")]
    Host(String, String),
    #[error("{0:?}: the port must be a number from 1 to 65535")]
    Port(String),
}

/// `scheme://host[:port]`; the host is a name, `*.name`, an IP address or a CIDR range.
///
/// A name's wildcard matches one or more labels and never the bare domain. Patterns of names don't
/// match addresses, and ranges don't match names. Without a port, the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    https: bool,
    host: PatternHost,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PatternHost {
    Name(String),
    /// `.example.com`
    Suffix(String),
    Range(IpNet),
}

impl HostPattern {
    /// The pattern that allows just the origin of `url`; `None` for one without a host.
    #[must_use]
    pub fn of_origin(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => PatternHost::Name(normal(name)),
            Host::Ipv4(ip) => PatternHost::Range(IpNet::from(std::net::IpAddr::V4(ip))),
            Host::Ipv6(ip) => PatternHost::Range(IpNet::from(std::net::IpAddr::V6(ip))),
        };
        Some(Self {
            https,
            host,
            port: url.port_or_known_default()?,
        })
    }

    /// Whether a request to `url` is within this pattern.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        let scheme = if self.https { "https" } else { "http" };
        if url.scheme() != scheme || url.port_or_known_default() != Some(self.port) {
            return false;
        }
        match (&self.host, url.host()) {
            (PatternHost::Name(want), Some(Host::Domain(name))) => *want == normal(name),
            (PatternHost::Suffix(suffix), Some(Host::Domain(name))) => {
                let name = normal(name);
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (PatternHost::Range(net), Some(Host::Ipv4(ip))) => {
                net.contains(&std::net::IpAddr::V4(ip))
            }
            (PatternHost::Range(net), Some(Host::Ipv6(ip))) => {
                net.contains(&std::net::IpAddr::V6(ip))
            }
            _ => false,
        }
    }
}

/// A name without the root's dot; `url` has lower-cased it.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let whole = || text.chars().take(200).collect::<String>();
        if text == "*" || text == "*://*" {
            return Err(PatternError::Everything(whole()));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| PatternError::NoScheme(whole()))?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(PatternError::Scheme(whole())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(range) = parse_range(rest) {
            let (net, port) = range.map_err(|()| PatternError::Port(whole()))?;
            let port = port.unwrap_or(if https { 443 } else { 80 });
            return Ok(Self {
                https,
                host: PatternHost::Range(net),
                port,
            });
        }
        if rest.contains(['/', '?', '#', '@', '\\']) || rest.is_empty() {
            return Err(PatternError::NotAnOrigin(whole()));
        }
        let (host, suffix) = match rest.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (rest, false),
        };
        if host == "*" || host.starts_with("*:") {
            return Err(PatternError::Everything(whole()));
        }
        if host.contains('*') {
            return Err(PatternError::Wildcard(whole()));
        }
        // The same parser as for requests, so that spellings can't drift apart.
        let url = Url::parse(&format!("{scheme}://{host}/"))
            .map_err(|error| PatternError::Host(whole(), error.to_string()))?;
        let port = match url.port_or_known_default() {
            Some(port) if port != 0 => port,
            _ => return Err(PatternError::Port(whole())),
        };
        match (url.host(), suffix) {
            (Some(Host::Domain(name)), true) if normal(name).contains('.') => Ok(Self {
                https,
                host: PatternHost::Suffix(format!(".{}", normal(name))),
                port,
            }),
            (Some(Host::Domain(_)), true) => Err(PatternError::Everything(whole())),
            (Some(Host::Domain(name)), false) => Ok(Self {
                https,
                host: PatternHost::Name(normal(name)),
                port,
            }),
            (Some(_), true) => Err(PatternError::Wildcard(whole())),
            (Some(_), false) => {
                Self::of_origin(&url).ok_or_else(|| PatternError::NotAnOrigin(whole()))
            }
            (None, _) => Err(PatternError::NotAnOrigin(whole())),
        }
    }
}

/// `10.0.0.0/8[:port]` or `[fd00::/8][:port]`; `None` when it is no range at all.
#[allow(clippy::type_complexity, reason = "one private parser's answer")]
fn parse_range(text: &str) -> Option<Result<(IpNet, Option<u16>), ()>> {
    let (range, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (range, port) = rest.split_once(']')?;
            (range, port.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((range, port)) => (range, Some(port)),
            None => (text, None),
        },
    };
    if !range.contains('/') {
        return None;
    }
    let net = range.parse::<IpNet>().ok()?.trunc();
    match port.map(str::parse::<u16>) {
        None => Some(Ok((net, None))),
        Some(Ok(port)) if port != 0 => Some(Ok((net, Some(port)))),
        Some(_) => Some(Err(())),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.https {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://")?;
        match &self.host {
            PatternHost::Name(name) => write!(f, "{name}")?,
            PatternHost::Suffix(suffix) => write!(f, "*{suffix}")?,
            PatternHost::Range(net) if net.prefix_len() == net.max_prefix_len() => match net {
                IpNet::V4(net) => write!(f, "{}", net.addr())?,
                IpNet::V6(net) => write!(f, "[{}]", net.addr())?,
            },
            PatternHost::Range(IpNet::V4(net)) => write!(f, "{net}")?,
            PatternHost::Range(IpNet::V6(net)) => write!(f, "[{net}]")?,
        }
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for HostPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// What a manifest requests: a pattern, or the origin of each connection's base URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostRequest {
    /// `base-url`
    BaseUrl,
    Pattern(HostPattern),
}

impl HostRequest {
    /// Whether it asks for `url`, on a connection whose base URL is `base`.
    #[must_use]
    pub fn matches(&self, url: &Url, base: &Url) -> bool {
        match self {
            Self::BaseUrl => url.origin() == base.origin(),
            Self::Pattern(pattern) => pattern.matches(url),
        }
    }
}

impl TryFrom<String> for HostRequest {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        if text == "base-url" {
            Ok(Self::BaseUrl)
        } else {
            text.parse().map(Self::Pattern)
        }
    }
}

impl From<HostRequest> for String {
    fn from(request: HostRequest) -> Self {
        request.to_string()
    }
}

impl fmt::Display for HostRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BaseUrl => f.write_str("base-url"),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
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
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        // (pattern, url, matches)
        let rows = [
            (
                "https://api.example.com",
                "https://api.example.com/v1?x=1",
                true,
            ),
            (
                "https://api.example.com",
                "https://API.example.com./v1",
                true,
            ),
            ("https://api.example.com", "http://api.example.com/", false),
            (
                "https://api.example.com",
                "https://api.example.com:8443/",
                false,
            ),
            (
                "https://api.example.com",
                "https://api.example.com.evil.test/",
                false,
            ),
            (
                "https://api.example.com:8443",
                "https://api.example.com:8443/",
                true,
            ),
            ("https://*.example.com", "https://a.example.com/", true),
            ("https://*.example.com", "https://a.b.example.com/", true),
            ("https://*.example.com", "https://example.com/", false),
            ("https://*.example.com", "https://badexample.com/", false),
            ("https://*.0.0.1.nip.io", "https://127.0.0.1/", false),
            ("http://127.0.0.1:8888", "http://127.0.0.1:8888/v1", true),
            ("http://127.0.0.1:8888", "http://2130706433:8888/v1", true),
            ("http://127.0.0.1:8888", "http://localhost:8888/v1", false),
            ("http://10.0.0.0/8:8080", "http://10.1.2.3:8080/", true),
            ("http://10.0.0.0/8:8080", "http://11.1.2.3:8080/", false),
            ("http://10.0.0.0/8", "http://ten.example.com/", false),
            ("http://[::1]:9", "http://[0:0:0:0:0:0:0:1]:9/", true),
            ("http://[fd00::/8]:9", "http://[fd12::1]:9/", true),
            (
                "https://münchen.example",
                "https://xn--mnchen-3ya.example/",
                true,
            ),
        ];
        for (pattern, url, matches) in rows {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(
                parsed.matches(&Url::parse(url).unwrap()),
                matches,
                "{pattern} {url}"
            );
            let again: HostPattern = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed, "{pattern} spelled {parsed}");
        }
    }

    #[test]
    fn bad_patterns_teach() {
        let rows = [
            ("*", "every host"),
            ("https://*", "every host"),
            ("https://*:443", "every host"),
            ("https://*.com", "every host"),
            ("api.example.com", "write https://api.example.com"),
            ("ftp://a.example", "http or https"),
            ("https://a.example/v1", "scheme://host[:port]"),
            ("https://u:p@a.example", "scheme://host[:port]"),
            ("https://a.*.example", "wildcard"),
            ("https://*foo.example", "wildcard"),
            ("https://", "scheme://host[:port]"),
            ("https://a.example:0", "port"),
            ("https://a.example:99999", "not a host"),
            ("http://10.0.0.0/8:0", "port"),
            ("http://10.0.0.0/99", "scheme://host[:port]"),
        ];
        for (pattern, message) in rows {
            let error = pattern.parse::<HostPattern>().unwrap_err().to_string();
            assert!(error.contains(message), "{pattern}: {error}");
        }
    }

    #[test]
    fn base_url_asks_for_the_connections_origin() {
        let base = Url::parse("https://h.example/v1").unwrap();
        let request = HostRequest::try_from("base-url".to_owned()).unwrap();
        assert!(request.matches(&Url::parse("https://h.example/other").unwrap(), &base));
        assert!(!request.matches(&Url::parse("https://h.example:444/").unwrap(), &base));
    }
}
