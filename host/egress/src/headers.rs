//! Headers both ways: which ones a guest may set, how many, and how they become the contract's texts.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;

use crate::error::EgressError;

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_MAX: usize = 255;
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

/// Why nobody but the host sets the header `name`; `None` for all others.
pub(crate) fn reserved(name: &HeaderName) -> Option<&'static str> {
    match name.as_str() {
        "host" => Some("it follows from the URL"),
        "content-length" => Some("it follows from the body"),
        "accept-encoding" => Some("the host asks for gzip and decompresses it"),
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade"
        | "http2-settings" | "expect" => Some("it belongs to the connection, which is the host's"),
        name if name.starts_with("proxy-") => Some("it is for proxies, which are the host's"),
        _ => None,
    }
}

/// The guest's headers, checked, with the ones that the host adds to every attempt.
pub(crate) fn outgoing(
    list: &[(String, String)],
    idempotency_key: Option<&str>,
    limits: &Limits,
) -> Result<HeaderMap, EgressError> {
    let bytes: usize = list
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    check_size(
        list.len(),
        bytes,
        limits,
        Blame::Guest,
        "the request's headers are",
    )?;
    let mut headers = HeaderMap::with_capacity(list.len() + 2);
    for (name, value) in list {
        let shown: String = name.chars().take(100).collect();
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            EgressError::invalid(format!(
                "{shown:?} is not a header's name: letters, digits and dashes"
            ))
        })?;
        if let Some(reason) = reserved(&parsed) {
            return Err(EgressError::invalid(format!(
                "the header {shown} can't be set: {reason}"
            )));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            EgressError::invalid(format!(
                "the value of the header {shown} has a line break or another control character"
            ))
        })?;
        headers.append(parsed, value);
    }
    if let Some(key) = idempotency_key {
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_graphic());
        let value = fits.then(|| HeaderValue::from_str(key).ok()).flatten();
        let value = value.ok_or_else(|| {
            EgressError::invalid(format!(
                "an idempotency key has 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters"
            ))
        })?;
        headers.insert("idempotency-key", value);
    }
    // `body` unzips it.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(USER_AGENT));
    Ok(headers)
}

/// Check that a response has not too many headers, nor too long ones.
pub(crate) fn check_incoming(headers: &HeaderMap, limits: &Limits) -> Result<(), EgressError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    check_size(
        headers.len(),
        bytes,
        limits,
        Blame::Upstream,
        "the response's headers are",
    )
}

/// A response's headers as texts; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn incoming(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

fn check_size(
    count: usize,
    bytes: usize,
    limits: &Limits,
    blame: Blame,
    what: &str,
) -> Result<(), EgressError> {
    if count as u64 > limits.http_headers {
        return Err(EgressError::too_large(
            "http_headers",
            blame,
            what,
            limits.http_headers,
        ));
    }
    if bytes as u64 > limits.http_header_bytes {
        let limit = limits.http_header_bytes;
        return Err(EgressError::too_large(
            "http_header_bytes",
            blame,
            what,
            limit,
        ));
    }
    Ok(())
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

    fn one(name: &str, value: &str) -> Result<HeaderMap, EgressError> {
        outgoing(
            &[(name.to_owned(), value.to_owned())],
            None,
            &Limits::default(),
        )
    }

    #[test]
    fn the_connections_own_headers_are_refused() {
        for name in [
            "Host",
            "content-length",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Expect",
            "Accept-Encoding",
            "Proxy-Authorization",
            "Proxy-Connection",
            "HTTP2-Settings",
        ] {
            let error = one(name, "x").unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(error.blame(), Blame::Guest);
        }
    }

    #[test]
    fn bad_headers_are_refused_and_the_rest_passes() {
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:b", "x"),
            ("é", "x"),
            ("x\r\nhost", "y"),
            ("x", "a\r\nHost: evil.example"),
            ("x", "a\nb"),
            ("x", "a\0b"),
        ] {
            assert!(
                matches!(one(name, value), Err(EgressError::Invalid { .. })),
                "{name:?} {value:?}"
            );
        }
        let headers = one("X-Any", "grüße").unwrap();
        assert_eq!(headers["x-any"].as_bytes(), "grüße".as_bytes());
        assert_eq!(headers["user-agent"], USER_AGENT);
        assert_eq!(one("User-Agent", "mine").unwrap()["user-agent"], "mine");
    }

    #[test]
    fn sizes_are_limited_both_ways() {
        let limits = Limits {
            http_headers: 2,
            http_header_bytes: 20,
            ..Limits::default()
        };
        let list = |n: usize, size: usize| vec![("a".to_owned(), "v".repeat(size)); n];
        let map = |n: usize, size: usize| {
            let mut map = HeaderMap::new();
            for _ in 0..n {
                map.append("a", HeaderValue::from_str(&"v".repeat(size)).unwrap());
            }
            map
        };
        for (n, size, limit) in [
            (2, 9, None),
            (3, 1, Some("http_headers")),
            (1, 20, Some("http_header_bytes")),
        ] {
            let out = outgoing(&list(n, size), None, &limits);
            assert_eq!(out.err().and_then(|e| e.limit()), limit, "{n} {size}");
            let error = check_incoming(&map(n, size), &limits).err();
            assert_eq!(
                error.as_ref().and_then(EgressError::limit),
                limit,
                "{n} {size}"
            );
            assert!(error.is_none_or(|e| e.blame() == Blame::Upstream));
        }
    }

    #[test]
    fn an_idempotency_key_is_one_plain_header() {
        let limits = Limits::default();
        let own = [("Idempotency-Key".to_owned(), "guest".to_owned())];
        let headers = outgoing(&own, Some("k-1"), &limits).unwrap();
        assert_eq!(headers.get_all("idempotency-key").iter().count(), 1);
        assert_eq!(headers["idempotency-key"], "k-1");
        for key in ["", "a\nb", "é", &"k".repeat(256)] {
            assert!(outgoing(&[], Some(key), &limits).is_err(), "{key:?}");
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
