//! Headers, methods and sizes that are refused, and those that pass.

use super::*;

fn one(name: &str, value: &str) -> Result<HeaderMap, RequestError> {
    headers(
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
            matches!(one(name, value), Err(RequestError::Invalid(_))),
            "{name:?} {value:?}"
        );
    }
    assert_eq!(
        one("X-Any", "grüße").unwrap()["x-any"].as_bytes(),
        "grüße".as_bytes()
    );
    assert_eq!(one("User-Agent", "mine").unwrap()["user-agent"], "mine");
}

#[test]
fn sizes_are_limited() {
    let limits = Limits {
        http_headers: 2,
        http_header_bytes: 20,
        ..Limits::default()
    };
    for (n, size, broken) in [
        (2, 9, None),
        (3, 1, Some("http_headers")),
        (1, 20, Some("http_header_bytes")),
    ] {
        let list = vec![("a".to_owned(), "v".repeat(size)); n];
        let limit = match headers(&list, None, &limits) {
            Err(RequestError::TooLarge { limit, .. }) => Some(limit),
            _ => None,
        };
        assert_eq!(limit, broken, "{n} {size}");
    }
}

#[test]
fn methods() {
    for good in ["GET", "PROPFIND", "M-SEARCH", &"A".repeat(METHOD_BYTES_MAX)] {
        assert_eq!(method(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "get",
        "GE T",
        "CONNECT",
        "TRACE",
        &"A".repeat(METHOD_BYTES_MAX + 1),
    ] {
        assert!(method(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_idempotency_key_is_one_plain_header() {
    let limits = Limits::default();
    let own = [("Idempotency-Key".to_owned(), "guest".to_owned())];
    let set = headers(&own, Some("k-1"), &limits).unwrap();
    assert_eq!(set.get_all("idempotency-key").iter().count(), 1);
    assert_eq!(set["idempotency-key"], "k-1");
    for key in ["", "a\nb", "é", &"k".repeat(256)] {
        assert!(headers(&[], Some(key), &limits).is_err(), "{key:?}");
    }
}
