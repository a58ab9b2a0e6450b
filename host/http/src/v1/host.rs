//! Whom a request is for: one header `Host` (RFC 9112, section 3.2), with a name that is this server's.
//!
//! A page in a browser may have its own name resolve to this machine, and then reads what the server on loopback
//! answers (DNS rebinding); the name in its requests tells it.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Version};

use super::problem::{Answer, Failed, Type};

/// Which names a server answers to.
#[derive(Debug, Clone, Default)]
pub(crate) enum Names {
    /// All: what it listens on is for other machines, and nobody has said by which names they know it.
    #[default]
    Any,
    /// Addresses, `localhost`, and these, in lower case.
    These(Vec<String>),
}

impl Names {
    fn has(&self, host: &str) -> bool {
        let Self::These(names) = self else {
            return true;
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_address = match literal {
            Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<IpAddr>().is_ok(),
        };
        is_address || host == "localhost" || host.ends_with(".localhost") || names.contains(&host)
    }
}

/// That a request says whom it is for, and that it is for this server.
pub(super) fn check(request: &Request, names: &Names) -> Answer<()> {
    let host = host(request.headers(), request.version())?;
    // Of a request that names the whole URL, the header doesn't count (RFC 9112, section 3.2.2).
    let authority = request.uri().authority().or(host.as_ref());
    let Some(authority) = authority else {
        return Ok(());
    };
    match names.has(authority.host()) {
        true => Ok(()),
        false => Err(Failed::new(
            Type::Misdirected,
            "the server does not answer to the name that the header Host has",
        )
        .hint("name it with serve --allowed-host, or ask for an address or localhost")),
    }
}

/// The one header there may be, and from HTTP/1.1 on has to be.
fn host(headers: &HeaderMap, version: Version) -> Answer<Option<Authority>> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else {
        return match version < Version::HTTP_11 {
            true => Ok(None),
            false => Err(Failed::invalid("Host: the header is missing")),
        };
    };
    if values.next().is_some() {
        return Err(Failed::invalid("Host: there is more than one"));
    }
    let authority = value
        .to_str()
        .ok()
        .and_then(|value| value.parse::<Authority>().ok());
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    let bad = || Failed::invalid("Host: it is a name or an address, and perhaps a port");
    authority.map(Some).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn status(version: Version, hosts: &[&str], target: &str, names: &Names) -> u16 {
        let mut request = axum::http::Request::get(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        match check(&request.body(Body::empty()).unwrap(), names) {
            Ok(()) => 200,
            Err(failed) => failed.status().as_u16(),
        }
    }

    #[test]
    fn a_request_says_whom_it_is_for() {
        let names = Names::These(vec!["api.example".to_owned()]);
        let rows: &[(&[&str], &str, u16)] = &[
            (&["127.0.0.1:7411"], "/", 200),
            (&["127.0.0.1"], "/", 200),
            (&["[::1]:7411"], "/", 200),
            (&["localhost:7411"], "/", 200),
            (&["LocalHost."], "/", 200),
            (&["a.localhost"], "/", 200),
            (&["API.example:443"], "/", 200),
            (&["10.1.2.3"], "/", 200),
            (&["evil.example"], "/", 421),
            (&["127.0.0.1.evil.example"], "/", 421),
            (&["evillocalhost"], "/", 421),
            (&["api.example.evil.example"], "/", 421),
            // Of these the target counts.
            (&["127.0.0.1"], "http://evil.example/", 421),
            (&["evil.example"], "http://127.0.0.1/", 200),
            (&[], "/", 400),
            (&[], "http://127.0.0.1/", 400),
            (&["127.0.0.1", "127.0.0.1"], "/", 400),
            (&["127.0.0.1", "evil.example"], "/", 400),
            (&[""], "/", 400),
            (&["a b"], "/", 400),
            (&["user@localhost"], "/", 400),
            (&["localhost, localhost"], "/", 400),
        ];
        for (hosts, target, wanted) in rows {
            assert_eq!(
                status(Version::HTTP_11, hosts, target, &names),
                *wanted,
                "{hosts:?} {target}"
            );
        }
        assert_eq!(status(Version::HTTP_10, &[], "/", &names), 200);
        assert_eq!(
            status(Version::HTTP_11, &["evil.example"], "/", &Names::Any),
            200
        );
    }
}
