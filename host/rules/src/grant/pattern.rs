//! Origins that a grant or a manifest names: parse, match, and say what is wrong with a text.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Why a text is not a host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("{0:?} has no scheme: write https://{0}")]
    NoScheme(String),
    #[error("{0:?}: the scheme must be http or https")]
    Scheme(String),
    #[error(
        "{0:?} would let the plugin reach every host on the internet; name the hosts it needs, \
         such as https://api.example.com or https://*.example.com (if it really needs them all, \
         the operator says so with --allow-any-host, or by `any_host` in the API)"
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
///
/// `https://*` is every name. `FromStr`, which reads what an operator writes, refuses it, so that
/// nobody grants the internet in passing; [`HostPattern::any_host`] and
/// [`HostPattern::parse_wide`], which also reads what is stored, allow it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    https: bool,
    host: PatternHost,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PatternHost {
    /// Every name.
    Any,
    Name(String),
    /// `.example.com`
    Suffix(String),
    Range(IpNet),
}

impl HostPattern {
    /// Every name over https on its own port, `https://*`: what `--allow-any-host` stands for.
    #[must_use]
    pub fn any_host() -> Self {
        Self {
            https: true,
            host: PatternHost::Any,
            port: 443,
        }
    }

    /// As `FromStr`, and `https://*` is a pattern too. For what was granted before and for what a
    /// manifest requests, which grants nothing.
    pub fn parse_wide(text: &str) -> Result<Self, PatternError> {
        let port = match text.strip_prefix("https://*") {
            Some("" | "/") => Some(443),
            Some(rest) => rest.strip_prefix(':').map(|port| port.parse().unwrap_or(0)),
            None => None,
        };
        match port {
            None => text.parse(),
            Some(0) => Err(PatternError::Port(text.chars().take(200).collect())),
            Some(port) => Ok(Self {
                port,
                ..Self::any_host()
            }),
        }
    }

    /// The pattern that allows just the origin of `url`; `None` for one without a host that can be
    /// granted.
    #[must_use]
    pub fn of_origin(url: &Url) -> Option<Self> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => PatternHost::Name(name_of(name)?),
            Host::Ipv4(ip) => PatternHost::Range(IpNet::from(std::net::IpAddr::V4(ip))),
            Host::Ipv6(ip) => PatternHost::Range(IpNet::from(std::net::IpAddr::V6(ip))),
        };
        Some(Self {
            https,
            host,
            port: url.port_or_known_default().filter(|port| *port != 0)?,
        })
    }

    /// The port, if this is every name on another port than https' own, which no option grants.
    #[must_use]
    pub fn any_host_port(&self) -> Option<u16> {
        (self.host == PatternHost::Any && self.port != 443).then_some(self.port)
    }

    /// The addresses that it names, if it names no host.
    #[must_use]
    pub fn range(&self) -> Option<IpNet> {
        match &self.host {
            PatternHost::Range(net) => Some(*net),
            _ => None,
        }
    }

    /// Whether every URL within `other` is within this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        use PatternHost::{Any, Name, Range, Suffix};
        let hosts = match (&self.host, &other.host) {
            (Any, Any | Name(_) | Suffix(_)) => true,
            (Name(mine), Name(theirs)) => mine == theirs,
            // The star stands for one label at least.
            (Suffix(mine), Name(theirs)) => {
                theirs.len() > mine.len() && theirs.ends_with(mine.as_str())
            }
            (Suffix(mine), Suffix(theirs)) => theirs.ends_with(mine.as_str()),
            (Range(mine), Range(theirs)) => mine.contains(theirs),
            _ => false,
        };
        hosts && self.https == other.https && self.port == other.port
    }

    /// Whether some URL is within both: of two patterns, one covers the other or they have nothing in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether a request to `url` is within this pattern.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        let scheme = if self.https { "https" } else { "http" };
        if url.scheme() != scheme || url.port_or_known_default() != Some(self.port) {
            return false;
        }
        match (&self.host, url.host()) {
            (PatternHost::Any, Some(Host::Domain(_))) => true,
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

/// [`normal`], if it is a name: the URL standard lets empty labels, quotes and braces pass.
fn name_of(name: &str) -> Option<String> {
    let name = normal(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    name.split('.').all(label).then_some(name)
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
            if net.prefix_len() == 0 {
                return Err(PatternError::Everything(whole()));
            }
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
        let not_a_name = || {
            let reason = "a name has letters, digits, dashes and single dots";
            PatternError::Host(whole(), reason.to_owned())
        };
        match (url.host(), suffix) {
            (Some(Host::Domain(name)), suffix) => {
                let name = name_of(name).ok_or_else(not_a_name)?;
                let host = match suffix {
                    false => PatternHost::Name(name),
                    true if name.contains('.') => PatternHost::Suffix(format!(".{name}")),
                    true => return Err(PatternError::Everything(whole())),
                };
                Ok(Self { https, host, port })
            }
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
        Some(rest) => match rest.split_once(']')? {
            (range, "") => (range, None),
            (range, port) => (range, Some(port.strip_prefix(':')?)),
        },
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
            PatternHost::Any => f.write_str("*")?,
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

/// From what is stored; a grant was parsed strictly when it was given.
impl TryFrom<String> for HostPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse_wide(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// What a manifest requests: a pattern, the origin of each connection's base URL, or whatever the
/// operator grants, where the connection's config names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostRequest {
    /// `base-url`
    BaseUrl,
    /// `granted`
    Granted,
    Pattern(HostPattern),
}

impl HostRequest {
    /// Whether it asks for `url`, on a connection whose base URL is `base`.
    #[must_use]
    pub fn matches(&self, url: &Url, base: &Url) -> bool {
        match self {
            Self::BaseUrl => url.origin() == base.origin(),
            Self::Granted => true,
            Self::Pattern(pattern) => pattern.matches(url),
        }
    }
}

impl TryFrom<String> for HostRequest {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        match text.as_str() {
            "base-url" => Ok(Self::BaseUrl),
            "granted" => Ok(Self::Granted),
            pattern => HostPattern::parse_wide(pattern).map(Self::Pattern),
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
            Self::Granted => f.write_str("granted"),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}
