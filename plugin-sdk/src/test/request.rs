//! A request as the fake host got it.

use serde_json::Value;

use crate::host::{Request as Raw, Retry};

/// A request that the plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// The URL's path; under the connection's base URL, the part after the base.
    pub path: String,
    /// The query's parameters, decoded, in their order.
    pub query: Vec<(String, String)>,
    /// Without those that the host adds.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Option<Vec<u8>>,
    /// For one attempt.
    pub timeout_ms: Option<u32>,
    /// Whether the host may repeat it.
    pub retry: Retry,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
}

impl Request {
    /// The request with its URL made absolute. Fails as the host does.
    pub(super) fn new(raw: Raw, base_url: Option<&str>) -> Result<Self, String> {
        let url = absolute(&raw.url, base_url)?;
        let without_fragment = url.split('#').next().unwrap_or_default();
        let (before, query) = match without_fragment.split_once('?') {
            Some((before, query)) => (before, query),
            None => (without_fragment, ""),
        };
        let base = base_url.unwrap_or_default().trim_end_matches('/');
        let path = match before.strip_prefix(base) {
            Some(rest) if !base.is_empty() && (rest.is_empty() || rest.starts_with('/')) => rest,
            _ => {
                let start = before.find("://").map_or(0, |at| at + 3);
                let host = before.get(start..).unwrap_or_default();
                host.find('/').and_then(|at| host.get(at..)).unwrap_or("/")
            }
        };
        let decoded = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        Ok(Request {
            path: path.to_owned(),
            query: decoded,
            url,
            method: raw.method,
            headers: raw.headers,
            body: raw.body,
            timeout_ms: raw.timeout_ms,
            retry: raw.retry,
            idempotency_key: raw.idempotency_key,
        })
    }

    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, |found| found == name)
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, |found| found.eq_ignore_ascii_case(name))
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let body = self.body.as_deref().unwrap_or_default();
        serde_json::from_slice(body).unwrap_or_default()
    }
}

fn first(pairs: &[(String, String)], named: impl Fn(&str) -> bool) -> Option<&str> {
    let found = pairs.iter().find(|(name, _)| named(name));
    found.map(|(_, value)| value.as_str())
}

fn absolute(url: &str, base_url: Option<&str>) -> Result<String, String> {
    if url.contains("://") && !url.starts_with('/') {
        return Ok(url.to_owned());
    }
    let base = base_url
        .ok_or_else(|| format!("the URL {url} is relative, and the connection has no base URL"))?;
    let base = base.trim_end_matches('/');
    let separator = if url.starts_with(['/', '?']) || url.is_empty() {
        ""
    } else {
        "/"
    };
    Ok(format!("{base}{separator}{url}"))
}

/// Undo percent-encoding; `+` is a space.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['%', '+']) {
        let (before, from) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let encoded = from.get(1..3).filter(|_| from.starts_with('%'));
        let byte = encoded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let length = if byte.is_some() { 3 } else { 1 };
        let plain = if from.starts_with('+') { b' ' } else { b'%' };
        bytes.push(byte.unwrap_or(plain));
        rest = from.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Request, absolute, decode};
    use crate::host::{Request as Raw, Retry};

    #[test]
    fn decodes() {
        for (text, decoded) in [
            ("a%20b+c", "a b c"),
            ("%C3%A9", "é"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }

    #[test]
    fn urls_are_made_absolute() {
        let base = Some("https://h/v1/");
        for (url, expected) in [
            ("/items?page=2", "https://h/v1/items?page=2"),
            ("items", "https://h/v1/items"),
            ("?q=1", "https://h/v1?q=1"),
            ("https://other/x", "https://other/x"),
            ("/r?to=https://x", "https://h/v1/r?to=https://x"),
        ] {
            assert_eq!(absolute(url, base).unwrap(), expected);
        }
        assert!(absolute("/items", None).is_err());
    }

    #[test]
    fn paths_are_seen_from_the_base() {
        for (url, path) in [
            ("/items?x=1", "/items"),
            ("https://h/v1/items", "/items"),
            ("https://h/v1", ""),
            ("https://h/v12/items", "/v12/items"),
            ("https://other/v1/items#top", "/v1/items"),
            ("https://other", "/"),
        ] {
            let raw = Raw {
                method: "GET".to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: None,
                timeout_ms: None,
                retry: Retry::Never,
                idempotency_key: None,
            };
            assert_eq!(
                Request::new(raw, Some("https://h/v1")).unwrap().path,
                path,
                "{url}"
            );
        }
    }
}
