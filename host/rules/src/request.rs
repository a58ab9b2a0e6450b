//! What a request of a guest must keep to before anything is sent: method, URL, headers, sizes and time.

mod headers;
mod target;

use http::{HeaderMap, Method};
use url::Url;

use crate::limits::{Limits, METHOD_BYTES_MAX};

pub use headers::{broken_size, headers, reserved};
pub use target::{check_url, resolve, shown};

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is malformed.
    #[error("{0}")]
    Invalid(String),
    /// `what` of it goes beyond `limit`, which is `value`.
    #[error("{what} beyond the limit {limit} = {value}")]
    TooLarge {
        limit: &'static str,
        what: String,
        value: u64,
    },
}

impl RequestError {
    fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

/// A request as the guest makes it, as far as there are rules for it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Absolute, or below the connection's base URL.
    pub url: &'a str,
    pub headers: &'a [(String, String)],
    pub body_bytes: usize,
    pub timeout_ms: Option<u32>,
    pub idempotency_key: Option<&'a str>,
}

/// A request that keeps the rules.
#[derive(Debug, Clone)]
pub struct Checked {
    pub method: Method,
    /// Absolute, without a fragment.
    pub url: Url,
    /// The guest's, and its idempotency key.
    pub headers: HeaderMap,
    /// For one attempt.
    pub timeout_ms: u64,
}

/// Check a request of a connection at `base`.
pub fn check(request: &Request<'_>, base: &Url, limits: &Limits) -> Result<Checked, RequestError> {
    let method = method(request.method)?;
    let url = resolve(request.url, base)?;
    let headers = headers(request.headers, request.idempotency_key, limits)?;
    if request.body_bytes as u64 > limits.http_request_bytes {
        return Err(RequestError::TooLarge {
            limit: "http_request_bytes",
            what: format!("the request's body of {} bytes is", request.body_bytes),
            value: limits.http_request_bytes,
        });
    }
    let most = limits.http_timeout_ms;
    let asked = request.timeout_ms;
    let timeout_ms = asked.map_or(most, |ms| u64::from(ms).min(most));
    if timeout_ms == 0 {
        return Err(RequestError::invalid(
            "a time-out of 0 ms leaves no time for an answer",
        ));
    }
    Ok(Checked {
        method,
        url,
        headers,
        timeout_ms,
    })
}

/// The method of this name, upper case; but for those that no guest may use.
pub fn method(text: &str) -> Result<Method, RequestError> {
    let shape = !text.is_empty()
        && text.len() <= METHOD_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    let parsed = shape
        .then(|| Method::from_bytes(text.as_bytes()).ok())
        .flatten();
    match parsed {
        // A tunnel would leave the gate, and an echo would hand out the connection's credentials.
        Some(Method::CONNECT | Method::TRACE) => Err(RequestError::invalid(format!(
            "the method {text} can't be used"
        ))),
        Some(method) => Ok(method),
        None => {
            let shown: String = text.chars().take(METHOD_BYTES_MAX).collect();
            let message = format!("{shown:?} is not a method; methods are upper case, such as GET");
            Err(RequestError::invalid(message))
        }
    }
}

#[cfg(test)]
mod tests;
