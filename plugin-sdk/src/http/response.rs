//! Reading a response, and what its status means.

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

use super::retry_after;
use crate::failure::FailureKind;
use crate::host::Answer;
use crate::text::{excerpt, truncated};
use crate::{Cx, Failure, Result};

/// How much of an answer's body goes into a failure (the contract's limit).
const UPSTREAM_BODY_MAX: usize = 64 * 1024;
/// How much of an answer's body goes into a message.
const EXCERPT_MAX: usize = 160;

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Response {
    method: String,
    answer: Answer,
}

impl Response {
    pub(super) fn new(method: String, answer: Answer) -> Self {
        Response { method, answer }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// Where the answer came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.answer.url
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body, decompressed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, which must be UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.answer.body).map_err(|error| {
            Failure::other(format!(
                "{} answered {} with a body that is not UTF-8: {error}",
                self.name(),
                self.status()
            ))
            .code("response-invalid")
        })
    }

    /// The body, decoded from JSON.
    ///
    /// A body that is no JSON at all (a maintenance page, a text cut off) is a `transient`
    /// failure with the code `response-not-json`; JSON of another shape than `T` is `other` with
    /// the code `response-invalid`, as repeating the request would not help. Both name the URL,
    /// the line and column, and the body's first bytes.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let decoded = match std::str::from_utf8(&self.answer.body) {
            Ok(text) => serde_json::from_str(text).map_err(|error| DecodeError::of(&error)),
            Err(error) => Err(DecodeError::syntax(error)),
        };
        decoded.map_err(|error| self.decode_failure(&error))
    }

    /// The body taken out, for a page to keep. A failure when it is not UTF-8, and so not JSON.
    pub(super) fn into_text(mut self) -> Result<(Self, String)> {
        match String::from_utf8(std::mem::take(&mut self.answer.body)) {
            Ok(text) => Ok((self, text)),
            Err(error) => {
                let problem = DecodeError::syntax(error.utf8_error());
                self.answer.body = error.into_bytes();
                Err(self.decode_failure(&problem))
            }
        }
    }

    fn decode_failure(&self, error: &DecodeError) -> Failure {
        let body = String::from_utf8_lossy(&self.answer.body);
        error.failure(&self.name(), self.status(), &body)
    }

    /// How messages name what was asked.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, excerpt(self.url(), 300))
    }

    /// Itself, or the failure that a status of 400 and more means, as
    /// [`send`](crate::RequestBuilder::send) has it: for a response of `send_any`, once the statuses
    /// that mean something else have been looked at.
    pub fn or_failure(self, cx: &Cx) -> Result<Self> {
        if self.status() < 400 {
            Ok(self)
        } else {
            Err(self.into_failure(cx.now()))
        }
    }

    /// The failure that a status of 400 and more means.
    fn into_failure(self, now: u64) -> Failure {
        let status = self.status();
        let kind = match status {
            401 | 403 => FailureKind::Auth,
            408 | 425 | 429 | 500.. => FailureKind::Transient,
            _ => FailureKind::Rejected,
        };
        let body = String::from_utf8_lossy(&self.answer.body);
        let message = if body.trim().is_empty() {
            format!("{} answered {status}", self.name())
        } else {
            let body = excerpt(body.trim(), EXCERPT_MAX);
            format!("{} answered {status}: {body}", self.name())
        };
        let mut failure = Failure::new(kind, message)
            .code(format!("http-{status}"))
            .upstream(status, truncated(&body, UPSTREAM_BODY_MAX).to_owned());
        if kind == FailureKind::Transient {
            failure.retry_after_ms = self
                .header("retry-after")
                .and_then(|header| retry_after::wait_ms(header, now));
        }
        failure
    }
}

/// Why a body could not be decoded, apart from whose body it is.
pub(super) struct DecodeError {
    message: String,
    /// It is JSON, but of another shape.
    shape: bool,
}

impl DecodeError {
    pub(super) fn of(error: &serde_json::Error) -> Self {
        DecodeError {
            message: error.to_string(),
            shape: error.classify() == Category::Data,
        }
    }

    /// No JSON at all.
    pub(super) fn syntax(message: impl fmt::Display) -> Self {
        DecodeError {
            message: message.to_string(),
            shape: false,
        }
    }

    /// JSON of another shape than expected.
    pub(super) fn shape(message: impl fmt::Display) -> Self {
        DecodeError {
            message: message.to_string(),
            shape: true,
        }
    }

    pub(super) fn failure(&self, request: &str, status: u16, body: &str) -> Failure {
        let begins = excerpt(body.trim_start(), EXCERPT_MAX);
        let (kind, code, what) = if self.shape {
            (
                FailureKind::Other,
                "response-invalid",
                "is not the JSON that the plugin expects",
            )
        } else {
            (FailureKind::Transient, "response-not-json", "is not JSON")
        };
        Failure::new(
            kind,
            format!(
                "{request} answered {status} with a body that {what}: {} (it begins: {begins})",
                self.message
            ),
        )
        .code(code)
        .upstream(status, truncated(body, UPSTREAM_BODY_MAX).to_owned())
    }
}
