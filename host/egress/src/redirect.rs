//! Redirects: what the next request is (RFC 9110 §15.4), and what it must not carry along.
//!
//! A write is never made another request: a GET in its place would be answered with success although nothing
//! was written. What can't be followed as it is comes back as the answer, and the plugin decides.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use tidegate_engine::run::Blame;
use url::Url;

use crate::error::EgressError;
use crate::headers;
use crate::sent::Sent;
use tidegate_rules::limits::URL_BYTES_MAX;
use tidegate_rules::request::shown;

/// Most redirects that are followed for one request.
pub(crate) const REDIRECTS_MAX: usize = 3;

/// One request on its way: the guest's, or the one that a redirect made of it. It holds no
/// credentials of the connection.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether it, or what redirected here, may have been done.
    pub(crate) sent: Sent,
    /// Whether it changes nothing: its method says so, or the plugin does of a list that is asked for by POST.
    pub(crate) only_reads: bool,
    /// Whether it, and whatever led to it, is at the connection's own origin. Else it gets no credentials: who
    /// was asked in between would choose what is asked with them.
    pub(crate) is_own: bool,
}

/// The request that follows the answer to `hop`; `None` when the answer is final. `strip` takes from a URL what
/// the server repeats of the connection's credentials.
pub(crate) fn next(
    hop: &Hop,
    status: StatusCode,
    answer: &HeaderMap,
    strip: impl Fn(&mut Url),
) -> Result<Option<Hop>, EgressError> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.get(LOCATION) else {
        return Ok(None);
    };
    let url = std::str::from_utf8(location.as_bytes())
        .ok()
        .filter(|text| text.len() <= URL_BYTES_MAX)
        .and_then(|text| hop.url.join(text).ok());
    let Some(mut url) = url else {
        let message = format!(
            "{} redirects to something that is not a URL",
            shown(&hop.url)
        );
        return Err(EgressError::Other {
            blame: Blame::Upstream,
            message,
        });
    };
    url.set_fragment(None);
    strip(&mut url);

    let follows = match status.as_u16() {
        307 | 308 => true,
        301 | 302 => is_safe(&hop.method) || is_same_place(&hop.url, &url),
        // It names another resource to be asked with GET, which is no repeat of a write (RFC 9110 §15.4.4).
        _ => is_safe(&hop.method),
    };
    if !follows {
        return Ok(None);
    }
    let mut next = Hop { url, ..hop.clone() };
    if status == StatusCode::SEE_OTHER && hop.method != Method::HEAD {
        next.method = Method::GET;
        next.body = Bytes::new();
        headers::drop_of_body(&mut next.headers);
    }
    if next.url.origin() != hop.url.origin() {
        headers::drop_credentials(&mut next.headers);
        next.is_own = false;
    }
    Ok(Some(next))
}

/// Whether a method only reads: those of RFC 9110 §9.2.1, and those that the registry of methods calls safe.
pub(crate) fn is_safe(method: &Method) -> bool {
    let registered = ["PROPFIND", "REPORT", "SEARCH", "QUERY"];
    method.is_safe() || registered.contains(&method.as_str())
}

/// Whether a redirect names the same place in its right spelling: https instead of http, a slash at the end.
fn is_same_place(from: &Url, to: &Url) -> bool {
    let same_path = match to.path().strip_prefix(from.path()) {
        Some(added) => matches!(added, "" | "/"),
        None => false,
    };
    let same_origin = from.origin() == to.origin();
    let upgrade = from.scheme() == "http"
        && to.scheme() == "https"
        && from.host() == to.host()
        && from.port().is_none()
        && to.port().is_none();
    same_path && from.query() == to.query() && (same_origin || upgrade)
}

/// The gate's answer about a redirect's target, told with the redirect.
pub(crate) fn explain(error: EgressError, from: &Url) -> EgressError {
    let with = |message: String| format!("{} redirects elsewhere: {message}", shown(from));
    match error {
        EgressError::Denied { missing, message } => EgressError::Denied {
            missing,
            message: with(message),
        },
        // The guest wrote a good URL; the server made the bad one.
        EgressError::Invalid { message } => EgressError::Other {
            blame: Blame::Upstream,
            message: with(message),
        },
        other => other,
    }
}

/// One redirect too many.
pub(crate) fn too_many(first: &Url) -> EgressError {
    EgressError::Other {
        blame: Blame::Upstream,
        message: format!("{} redirects more than {REDIRECTS_MAX} times", shown(first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: &Method) -> Hop {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "content-type",
            "accept",
            "x-trace",
        ] {
            headers.insert(name, "v".parse().unwrap());
        }
        let url = Url::parse("https://a.example/v1/x?page=1").unwrap();
        Hop {
            method: method.clone(),
            url,
            headers,
            body: Bytes::from_static(b"body"),
            sent: Sent::default(),
            only_reads: is_safe(method),
            is_own: true,
        }
    }

    fn follow(method: &Method, status: u16, location: &str) -> Result<Option<Hop>, EgressError> {
        let mut answer = HeaderMap::new();
        answer.insert(
            LOCATION,
            http::HeaderValue::from_bytes(location.as_bytes()).unwrap(),
        );
        let status = StatusCode::from_u16(status).unwrap();
        next(&hop(method), status, &answer, |_| {})
    }

    fn method(name: &str) -> Method {
        Method::from_bytes(name.as_bytes()).unwrap()
    }

    /// What follows elsewhere at the same origin: a method, or nothing. A body goes only with its method.
    #[test]
    fn reads_follow_rfc_9110_and_writes_stay_what_they_are() {
        let reads = [
            "GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH", "QUERY",
        ];
        let writes = ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "PURGE"];
        for status in [301, 302, 303, 307, 308] {
            for name in reads.iter().chain(&writes) {
                let is_read = reads.contains(name);
                let want = match (status, *name) {
                    (307 | 308, name) => Some(name),
                    (303, "HEAD") => Some("HEAD"),
                    (303, _) if is_read => Some("GET"),
                    (301 | 302, name) if is_read => Some(name),
                    _ => None,
                };
                let next = follow(&method(name), status, "/y").unwrap();
                let found = next.as_ref().map(|next| next.method.as_str());
                assert_eq!(found, want, "{status} {name}");
                let Some(next) = next else { continue };
                let kept = status != 303 || *name == "HEAD";
                assert_eq!(next.body.is_empty(), !kept, "{status} {name}");
                let has_type = next.headers.contains_key("content-type");
                assert_eq!(has_type, kept, "{status} {name}");
                let has_credentials = next.headers.contains_key("authorization");
                assert!(has_credentials, "the origin is the same");
            }
        }
    }

    #[test]
    fn a_write_follows_301_and_302_only_to_the_same_place() {
        for (from, location, follows) in [
            ("https://a.example/v1/x", "/v1/x/", true),
            ("https://a.example/v1/x?page=1", "/v1/x/?page=1", true),
            ("https://a.example/v1/x", "https://A.EXAMPLE:443/v1/x", true),
            ("http://a.example/v1/x", "https://a.example/v1/x", true),
            ("http://a.example/v1/x", "https://a.example/v1/x/", true),
            ("https://a.example/v1/x", "http://a.example/v1/x", false),
            ("http://a.example:8080/x", "https://a.example:8443/x", false),
            ("http://a.example/x", "https://b.example/x", false),
            ("https://a.example/v1/x", "/v2/x", false),
            ("https://a.example/v1/x", "/v1/x/y", false),
            ("https://a.example/v1/x", "/v1/xy", false),
            ("https://a.example/v1/x/", "/v1/x", false),
            ("https://a.example/v1/x?page=1", "/v1/x/", false),
            ("https://a.example/v1/x", "/login?next=/v1/x", false),
        ] {
            for (status, name) in [(301, "POST"), (302, "POST"), (301, "PUT"), (302, "DELETE")] {
                let mut hop = hop(&method(name));
                hop.url = Url::parse(from).unwrap();
                let mut answer = HeaderMap::new();
                answer.insert(LOCATION, location.parse().unwrap());
                let status = StatusCode::from_u16(status).unwrap();
                let next = next(&hop, status, &answer, |_| {}).unwrap();
                assert_eq!(
                    next.is_some(),
                    follows,
                    "{status} {name} {from} to {location}"
                );
                if let Some(next) = next {
                    assert_eq!((next.method, next.body), (hop.method, hop.body));
                }
            }
        }
    }

    #[test]
    fn credentials_stay_at_their_origin() {
        let rows = [
            ("https://a.example/y", true),
            ("https://A.EXAMPLE:443/y", true),
            ("?page=2", true),
            ("https://b.example/y", false),
            ("//b.example/y", false),
            ("http://a.example/y", false),
            ("https://a.example:8443/y", false),
            ("https://a.example.b.example/y", false),
        ];
        for (location, kept) in rows {
            let next = follow(&Method::GET, 302, location).unwrap().unwrap();
            assert_eq!(
                next.headers.contains_key("authorization"),
                kept,
                "{location}"
            );
            assert_eq!(next.headers.contains_key("cookie"), kept, "{location}");
            assert_eq!(next.is_own, kept, "{location}");
            // And back: what another host asks for is asked without them.
            let mut answer = HeaderMap::new();
            answer.insert(LOCATION, "https://a.example/admin".parse().unwrap());
            let back = super::next(&next, StatusCode::FOUND, &answer, |_| {})
                .unwrap()
                .unwrap();
            assert_eq!(back.is_own, kept, "{location}");
            assert!(next.headers.contains_key("x-trace"), "{location}");
        }
    }

    #[test]
    fn only_redirects_with_a_place_are_followed() {
        for status in [200, 201, 300, 304, 305, 306, 399, 404] {
            assert!(
                follow(&Method::GET, status, "/y").unwrap().is_none(),
                "{status}"
            );
        }
        let none = next(
            &hop(&Method::GET),
            StatusCode::FOUND,
            &HeaderMap::new(),
            |_| {},
        )
        .unwrap();
        assert!(none.is_none());
        for location in ["http://[", "https://h:99999/", "https://u@/"] {
            let error = follow(&Method::GET, 302, location).unwrap_err();
            assert_eq!(error.blame(), Blame::Upstream, "{location}");
        }
        let next = follow(&Method::GET, 302, "../y#part").unwrap().unwrap();
        assert_eq!(next.url.as_str(), "https://a.example/y");
    }
}
