//! Headers both ways: what the host adds and takes off, and how they become the contract's texts. Which ones a
//! guest may set is a rule of the contract (`tidegate_rules::request`).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;
use tidegate_rules::request;

use crate::error::EgressError;

/// Sent unless the guest names itself: many APIs refuse requests without.
const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// Dropped when a redirect leaves the origin, whoever set them.
const CREDENTIALS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
];
/// Dropped when a redirect turns a request into a GET, with the body that they describe.
const OF_BODY: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
];

/// The guest's headers with the ones that the host adds to every attempt.
pub(crate) fn with_own(mut headers: HeaderMap) -> HeaderMap {
    // `body` unzips it.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(USER_AGENT));
    headers
}

/// Check that a response has not too many headers, nor too long ones.
pub(crate) fn check_incoming(headers: &HeaderMap, limits: &Limits) -> Result<(), EgressError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    match request::broken_size(headers.len(), bytes, limits) {
        None => Ok(()),
        Some((limit, value)) => {
            let what = "the response's headers are";
            Err(EgressError::too_large(limit, Blame::Upstream, what, value))
        }
    }
}

/// A response's headers as texts; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn incoming(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

/// The next origin must not see what was meant for this one.
pub(crate) fn drop_credentials(headers: &mut HeaderMap) {
    for name in &CREDENTIALS {
        headers.remove(name);
    }
}

/// The body is gone, and so is what described it.
pub(crate) fn drop_of_body(headers: &mut HeaderMap) {
    for name in &OF_BODY {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_adds_and_what_it_leaves() {
        let headers = with_own(HeaderMap::new());
        assert_eq!(headers["accept-encoding"], "gzip");
        assert_eq!(headers["user-agent"], USER_AGENT);
        let own = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("mine"))]);
        assert_eq!(with_own(own)["user-agent"], "mine");
    }

    #[test]
    fn sizes_of_answers_are_limited() {
        let limits = Limits {
            http_headers: 2,
            http_header_bytes: 20,
            ..Limits::default()
        };
        for (n, size, limit) in [
            (2, 9, None),
            (3, 1, Some("http_headers")),
            (1, 20, Some("http_header_bytes")),
        ] {
            let mut map = HeaderMap::new();
            for _ in 0..n {
                map.append("a", HeaderValue::from_str(&"v".repeat(size)).unwrap());
            }
            let error = check_incoming(&map, &limits).err();
            assert_eq!(
                error.as_ref().and_then(EgressError::limit),
                limit,
                "{n} {size}"
            );
            assert!(error.is_none_or(|e| e.blame() == Blame::Upstream));
        }
    }

    #[test]
    fn not_utf8_becomes_the_replacement_character() {
        let mut map = HeaderMap::new();
        map.insert("a", HeaderValue::from_bytes(b"x\xffy").unwrap());
        let list = incoming(&map);
        assert_eq!(list, [("a".to_owned(), "x\u{fffd}y".to_owned())]);
    }
}
