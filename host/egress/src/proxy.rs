//! The operator's egress proxy: the one address that a session connects to when there is one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use parking_lot::Mutex;
use tidegate_engine::redact::Secret;
use url::{Host, Url};

use tidegate_rules::address::Refused;

/// A proxy that all requests go through, `http://[user:password@]host[:port]`.
///
/// `https` requests go through a tunnel (`CONNECT`, RFC 9110 §9.3.6), `http` ones are forwarded
/// (absolute form, RFC 9112 §3.2.2). The gate judges each target before, names by looking them up;
/// what the proxy makes of a name is then the proxy's word. Only an operator names one: the
/// variables `HTTP_PROXY` and their like are ignored.
#[derive(Clone)]
pub struct Proxy {
    /// Without credentials.
    url: Url,
    credentials: Option<(Secret, Secret)>,
}

/// Why a text is not a proxy. It never holds the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy is not a URL ({0}); write http://[user:password@]host[:port]")]
    Url(String),
    #[error("the proxy's URL has the scheme {0:?}; only http:// proxies can be used")]
    Scheme(String),
    #[error("the proxy's URL has a path, query or fragment; write http://host[:port]")]
    NotAnOrigin,
    #[error("the proxy's user name or password is not text once its %-escapes are undone")]
    Credentials,
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let mut url = Url::parse(text).map_err(|error| ProxyError::Url(error.to_string()))?;
        if url.scheme() != "http" {
            return Err(ProxyError::Scheme(url.scheme().to_owned()));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError::NotAnOrigin);
        }
        let plain = |text: &str| {
            let bytes = percent_decoded(text).ok_or(ProxyError::Credentials)?;
            let text = String::from_utf8(bytes).map_err(|_| ProxyError::Credentials)?;
            Ok(Secret::new(text))
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((plain(user)?, plain(password.unwrap_or_default())?)),
        };
        // Both fail only for URLs without a host, which http URLs have.
        let _ = (url.set_username(""), url.set_password(None));
        Ok(Self { url, credentials })
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        plain.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    Some(plain)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.origin().ascii_serialization())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl Proxy {
    pub(crate) fn for_client(&self) -> Result<reqwest::Proxy, String> {
        let proxy = reqwest::Proxy::all(self.url.as_str())
            .map_err(|error| format!("the proxy can't be used: {}", error.without_url()))?;
        Ok(match &self.credentials {
            Some((user, password)) => proxy.basic_auth(user.expose(), password.expose()),
            None => proxy,
        })
    }
}

/// The proxy of one session, with the addresses that its name had.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) proxy: Proxy,
    known: Mutex<Vec<IpAddr>>,
}

impl Route {
    pub(crate) fn new(proxy: Proxy) -> Self {
        let literal = match proxy.url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        Self {
            proxy,
            known: Mutex::new(literal.into_iter().collect()),
        }
    }

    /// Whether the client looks this name up to reach the proxy. With a proxy it asks for no other.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.proxy.url.host_str() == Some(name)
    }

    /// The proxy's name has these addresses now. The operator chose it, so they are not judged.
    pub(crate) fn leads_to(&self, answers: &[IpAddr]) {
        let mut known = self.known.lock();
        known.clear();
        known.extend_from_slice(answers);
    }

    /// Is this open connection the proxy's?
    pub(crate) fn judge_peer(&self, peer: SocketAddr) -> Result<(), Refused> {
        let known = self.known.lock();
        let same = |ip: &IpAddr| ip.to_canonical() == peer.ip().to_canonical();
        if self.proxy.url.port_or_known_default() == Some(peer.port()) && known.iter().any(same) {
            return Ok(());
        }
        Err(Refused {
            address: peer.ip(),
            reason: "not the operator's proxy, which everything goes through".to_owned(),
            opens: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_origin_and_keeps_its_password() {
        // (text, what is shown, or a part of the error)
        let rows = [
            ("http://proxy.example:3128", Ok("http://proxy.example:3128")),
            ("http://proxy.example/", Ok("http://proxy.example")),
            ("http://[::1]:3128", Ok("http://[::1]:3128")),
            ("http://u:canary@h:1", Ok("http://h:1")),
            ("http://u:%63anary@h", Ok("http://h")),
            ("https://h:1", Err("only http://")),
            ("socks5://h:1", Err("only http://")),
            ("h:1", Err("only http://")),
            ("h", Err("not a URL")),
            ("http://h/canary", Err("has a path")),
            ("http://h/?canary", Err("has a path")),
            ("http://u:canary%ff@h", Err("not text")),
            ("http://u:canary%4@h", Err("not text")),
            ("http://u:canary@", Err("not a URL")),
        ];
        for (text, want) in rows {
            let got = text.parse::<Proxy>();
            assert!(!format!("{got:?}").contains("canary"), "{got:?}");
            match (got, want) {
                (Ok(proxy), Ok(want)) => assert_eq!(proxy.to_string(), want),
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && !error.contains("canary"), "{error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        let proxy: Proxy = "http://u%40x:%63anary@h".parse().unwrap();
        let (user, password) = proxy.credentials.unwrap();
        assert_eq!((user.expose(), password.expose()), ("u@x", "canary"));
    }

    #[test]
    fn only_the_proxy_is_a_peer() {
        let route = |text: &str| Route::new(text.parse().unwrap());
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        let literal = route("http://10.0.0.1:3128");
        assert!(literal.judge_peer(peer("10.0.0.1:3128")).is_ok());
        assert!(literal.judge_peer(peer("[::ffff:10.0.0.1]:3128")).is_ok());
        assert!(literal.judge_peer(peer("10.0.0.1:80")).is_err());
        assert!(literal.judge_peer(peer("10.0.0.2:3128")).is_err());
        let named = route("http://proxy.example");
        assert!(named.is_named("proxy.example") && !named.is_named("other.example"));
        assert!(
            named.judge_peer(peer("10.0.0.1:80")).is_err(),
            "not looked up yet"
        );
        named.leads_to(&["10.0.0.1".parse().unwrap()]);
        assert!(named.judge_peer(peer("10.0.0.1:80")).is_ok());
        assert!(named.judge_peer(peer("10.0.0.2:80")).is_err());
    }
}
