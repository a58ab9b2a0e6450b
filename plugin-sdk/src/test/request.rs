//! A request as the fake host got it.

use serde_json::Value;
use url::Url;

use crate::host::{Request as Raw, Retry};

/// A request that the plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute, in the spelling of the URL standard.
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
    /// The request as it would go out.
    pub(super) fn new(raw: Raw, url: &Url, base_url: Option<&Url>) -> Self {
        let base = base_url.filter(|base| base.origin() == url.origin());
        let below = base.and_then(|base| {
            let rest = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        });
        let query = url.query_pairs();
        Request {
            path: below.unwrap_or(url.path()).to_owned(),
            query: query
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            url: url.to_string(),
            method: raw.method,
            headers: raw.headers,
            body: raw.body,
            timeout_ms: raw.timeout_ms,
            retry: raw.retry,
            idempotency_key: raw.idempotency_key,
        }
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

#[cfg(test)]
mod tests {
    use url::Url;

    use super::Request;
    use crate::host::{Request as Raw, Retry};

    fn request(url: &str) -> Request {
        let raw = Raw {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            retry: Retry::Never,
            idempotency_key: None,
        };
        let base = Url::parse("https://h/v1").unwrap();
        Request::new(raw, &Url::parse(url).unwrap(), Some(&base))
    }

    #[test]
    fn queries_are_decoded() {
        let request = request("https://h/v1?a=b%20c+d&e=%C3%A9&f=100%&g&h=%zz%4");
        let query: Vec<(&str, &str)> = request
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let expected = [
            ("a", "b c d"),
            ("e", "é"),
            ("f", "100%"),
            ("g", ""),
            ("h", "%zz%4"),
        ];
        assert_eq!(query, expected);
    }

    #[test]
    fn paths_are_seen_from_the_base() {
        for (url, path) in [
            ("https://h/v1/items?x=1", "/items"),
            ("https://h/v1", ""),
            ("https://h/v12/items", "/v12/items"),
            ("https://other/v1/items", "/v1/items"),
            ("https://other", "/"),
        ] {
            assert_eq!(request(url).path, path, "{url}");
        }
    }
}
