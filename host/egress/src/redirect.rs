//! Redirects: what the next request is (RFC 9110 §15.4), and what it must not carry along.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use tidegate_engine::run::Blame;
use url::Url;

use crate::error::EgressError;
use crate::headers;
use crate::target::{URL_BYTES_MAX, shown};

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
}

/// The request that follows the answer to `hop`; `None` when the answer is final.
pub(crate) fn next(
    hop: &Hop,
    status: StatusCode,
    answer: &HeaderMap,
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

    let mut next = Hop { url, ..hop.clone() };
    let becomes_get = match status.as_u16() {
        303 => hop.method != Method::HEAD,
        301 | 302 => hop.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body = Bytes::new();
        headers::drop_of_body(&mut next.headers);
    }
    if next.url.origin() != hop.url.origin() {
        headers::drop_credentials(&mut next.headers);
    }
    Ok(Some(next))
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
        }
    }

    fn follow(method: &Method, status: u16, location: &str) -> Result<Option<Hop>, EgressError> {
        let mut answer = HeaderMap::new();
        answer.insert(
            LOCATION,
            http::HeaderValue::from_bytes(location.as_bytes()).unwrap(),
        );
        next(&hop(method), StatusCode::from_u16(status).unwrap(), &answer)
    }

    #[test]
    fn methods_and_bodies_follow_rfc_9110() {
        use Method as M;
        let methods = [
            M::GET,
            M::HEAD,
            M::POST,
            M::PUT,
            M::PATCH,
            M::DELETE,
            M::OPTIONS,
        ];
        // What each of them afters; a body goes only with the method that it was for.
        let rows = [
            (
                301,
                [
                    M::GET,
                    M::HEAD,
                    M::GET,
                    M::PUT,
                    M::PATCH,
                    M::DELETE,
                    M::OPTIONS,
                ],
            ),
            (
                302,
                [
                    M::GET,
                    M::HEAD,
                    M::GET,
                    M::PUT,
                    M::PATCH,
                    M::DELETE,
                    M::OPTIONS,
                ],
            ),
            (
                303,
                [M::GET, M::HEAD, M::GET, M::GET, M::GET, M::GET, M::GET],
            ),
            (307, methods.clone()),
            (308, methods.clone()),
        ];
        let rows = rows.iter().flat_map(|(status, after)| {
            let pairs = methods.iter().zip(after);
            pairs.map(move |(method, want)| (*status, method.clone(), want.clone()))
        });
        for (status, method, want) in rows {
            let next = follow(&method, status, "/y").unwrap().unwrap();
            assert_eq!(next.method, want, "{status} {method}");
            let kept = next.method == method && (method != Method::GET || status != 303);
            assert_eq!(next.body.is_empty(), !kept, "{status} {method}");
            assert_eq!(
                next.headers.contains_key("content-type"),
                kept,
                "{status} {method}"
            );
            assert!(
                next.headers.contains_key("authorization"),
                "the origin is the same"
            );
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
        let none = next(&hop(&Method::GET), StatusCode::FOUND, &HeaderMap::new()).unwrap();
        assert!(none.is_none());
        for location in ["http://[", "https://h:99999/", "https://u@/"] {
            let error = follow(&Method::GET, 302, location).unwrap_err();
            assert_eq!(error.blame(), Blame::Upstream, "{location}");
        }
        let next = follow(&Method::GET, 302, "../y#part").unwrap().unwrap();
        assert_eq!(next.url.as_str(), "https://a.example/y");
    }
}
