//! A request as a guest makes it, and the answer that it gets.

use std::time::Duration;

use bytes::Bytes;
use url::Url;

use crate::held::Share;

/// Whether the host repeats a request (`http.retry` in the contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// If its method is idempotent, or it has an idempotency key.
    #[default]
    Idempotent,
    Never,
    /// Whatever its method.
    Always,
}

/// A request as the guest makes it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute, or below the connection's base URL.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    /// For one attempt with its redirects; more than the limit is the limit. Waiting for the turn
    /// that a rate limit or the upstream's word gives doesn't count.
    pub timeout_ms: Option<u32>,
    pub retry: Retry,
    pub idempotency_key: Option<String>,
}

/// The whole response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// After decompression.
    pub body: Bytes,
    /// Where the answer came from, after redirects, without credentials.
    pub url: Url,
    /// How long the server wants not to be asked.
    pub retry_after: Option<Duration>,
    /// The body's part of what the run may hold. It counts until this is dropped, so whoever passes the body on
    /// passes this on.
    pub share: Option<Share>,
}

impl Response {
    /// The first header called `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
