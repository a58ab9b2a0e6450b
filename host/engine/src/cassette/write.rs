//! Lines out: one event after the other, within limits, and which headers stay out of them.

use serde::Serialize;

use super::shape::{Event, Head};
use super::{CASSETTE_BYTES_MAX, LINE_BYTES_MAX};

/// Headers of requests and responses that are not recorded: they carry sessions and credentials.
/// The host's own credentials are in none, whatever their header: it adds them after the recording.
pub const HEADERS_LEFT_OUT: &[&str] = &[
    "api-key",
    "apikey",
    "authentication-info",
    "authorization",
    "cookie",
    "private-token",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "set-cookie2",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-api-key",
    "x-session-token",
    "x-xsrf-token",
];

/// The headers that are recorded.
#[must_use]
pub fn kept_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    let left_out = |name: &str| {
        HEADERS_LEFT_OUT
            .iter()
            .any(|left_out| name.eq_ignore_ascii_case(left_out))
    };
    let kept = headers.iter().filter(|(name, _)| !left_out(name));
    kept.cloned().collect()
}

/// Why a line can't be written. A cassette without it could not be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("a line of {bytes} bytes; the longest has {LINE_BYTES_MAX}")]
    Long { bytes: usize },
    #[error("more than {CASSETTE_BYTES_MAX} bytes in all")]
    Full,
    #[error("a line that is no JSON: {0}")]
    Json(String),
}

/// Makes lines and counts their bytes.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: usize,
}

impl Writer {
    /// The first line, with its end.
    pub fn head(&mut self, head: &Head) -> Result<String, LineError> {
        self.add(to_json(head)?)
    }

    /// A line, with its end.
    pub fn event(&mut self, event: &Event) -> Result<String, LineError> {
        self.add(to_json(event)?)
    }

    /// A line that was made elsewhere, with its end.
    pub fn add(&mut self, mut line: String) -> Result<String, LineError> {
        line.push('\n');
        if line.len() > LINE_BYTES_MAX {
            return Err(LineError::Long { bytes: line.len() });
        }
        self.bytes += line.len();
        if self.bytes > CASSETTE_BYTES_MAX {
            return Err(LineError::Full);
        }
        Ok(line)
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn to_json(value: &impl Serialize) -> Result<String, LineError> {
    serde_json::to_string(value).map_err(|error| LineError::Json(error.to_string()))
}
