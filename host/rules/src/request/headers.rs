//! The headers of a request: which ones a guest may set, how many, and what is in them.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::RequestError;
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, Limits};

/// Why nobody but the host sets the header `name`; `None` for all others.
pub fn reserved(name: &HeaderName) -> Option<&'static str> {
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

/// The guest's headers, checked, with its idempotency key.
pub fn headers(
    list: &[(String, String)],
    idempotency_key: Option<&str>,
    limits: &Limits,
) -> Result<HeaderMap, RequestError> {
    let sizes = list.iter().map(|(name, value)| name.len() + value.len());
    if let Some((limit, value)) = broken_size(list.len(), sizes.sum(), limits) {
        let what = "the request's headers are".to_owned();
        return Err(RequestError::TooLarge { limit, what, value });
    }
    let mut headers = HeaderMap::with_capacity(list.len() + 3);
    for (name, value) in list {
        let shown: String = name.chars().take(100).collect();
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            RequestError::invalid(format!(
                "{shown:?} is not a header's name: letters, digits and dashes"
            ))
        })?;
        if let Some(reason) = reserved(&parsed) {
            return Err(RequestError::invalid(format!(
                "the header {shown} can't be set: {reason}"
            )));
        }
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            RequestError::invalid(format!(
                "the value of the header {shown} has a line break or another control character"
            ))
        })?;
        headers.append(parsed, value);
    }
    if let Some(key) = idempotency_key {
        let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_graphic());
        let value = fits.then(|| HeaderValue::from_str(key).ok()).flatten();
        let value = value.ok_or_else(|| {
            RequestError::invalid(format!(
                "an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
            ))
        })?;
        headers.insert("idempotency-key", value);
    }
    Ok(headers)
}

/// The limit that so many headers of so many bytes break, with its value; of requests and of responses.
#[must_use]
pub fn broken_size(count: usize, bytes: usize, limits: &Limits) -> Option<(&'static str, u64)> {
    if count as u64 > limits.http_headers {
        return Some(("http_headers", limits.http_headers));
    }
    (bytes as u64 > limits.http_header_bytes)
        .then_some(("http_header_bytes", limits.http_header_bytes))
}
