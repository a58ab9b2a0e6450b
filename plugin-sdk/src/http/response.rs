//! Reading a response, and what its status means.

use std::cell::OnceCell;
use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;
use tidegate_rules::limits::UPSTREAM_BODY_BYTES_MAX;

use super::link;
use super::pace::Pace;
use super::url::resolve;
use crate::failure::FailureKind;
use crate::host::Answer;
use crate::text::{excerpt, truncated};
use crate::{Cx, Failure, Result};

/// How much of an answer's body goes into a message.
const EXCERPT_MAX: usize = 160;
/// Methods that change nothing (RFC 9110 §9.2.1, and the registry that it begins).
const SAFE: [&str; 8] = [
    "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY",
];
/// Answers that name another place to ask.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Response {
    method: String,
    may_repeat: bool,
    answer: Answer,
    /// What a write sent, unless it was long: an answer often repeats it.
    pub(super) sent: Option<Vec<u8>>,
    /// The body with U+FFFD for halves of surrogate pairs, once it was needed.
    mended: OnceCell<Option<String>>,
}

impl Response {
    pub(super) fn new(
        method: String,
        may_repeat: bool,
        answer: Answer,
        sent: Option<Vec<u8>>,
    ) -> Self {
        Response {
            method,
            may_repeat,
            answer,
            sent,
            mended: OnceCell::new(),
        }
    }

    /// Whether something was to be done by it: its method is not safe (RFC 9110 §9.2.1), and the plugin did not say
    /// that it may be repeated, as of a list that is asked for by POST.
    #[must_use]
    pub fn is_of_write(&self) -> bool {
        !self.may_repeat && !SAFE.contains(&self.method.as_str())
    }

    /// The JSON value that a write was answered with; `None` for an empty body, a text, and whatever else is no
    /// JSON of this shape, of which the log has a line.
    ///
    /// A 2xx says that it was done, however it says so: that its body can't be read is no reason to send it again.
    pub fn written<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        if self.bytes().trim_ascii().is_empty() {
            return None;
        }
        let read = self.json::<T>();
        let problem = match read {
            Ok(value) => return Some(value),
            Err(failure) => failure.message,
        };
        crate::warn!("done, but its answer can't be used: {problem}");
        None
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
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The target of the first link with this relation type in the headers `Link` (RFC 8288), as an absolute URL:
    /// `response.link("next")`. Relation types are compared without case. A link with an `anchor` is about another
    /// resource, and is passed over.
    #[must_use]
    pub fn link(&self, relation: &str) -> Option<String> {
        self.headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
            .find_map(|(_, value)| link::target(value, relation))
            .map(|target| self.resolve(target))
    }

    /// A reference in this answer, such as the URL of the next page or of a file, as an absolute URL
    /// ([`resolve_url`](crate::resolve_url), RFC 3986 §5).
    #[must_use]
    pub fn resolve(&self, reference: &str) -> String {
        resolve(self.url(), reference)
    }

    /// The body, decompressed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, without a byte-order mark (RFC 8259 §8.1). One that is not UTF-8 is a failure of kind
    /// `other` with the code `response-invalid`, blamed on the outside API. (The host decodes other charsets that
    /// `Content-Type` names.)
    pub fn text(&self) -> Result<&str> {
        self.body_text().ok_or_else(|| {
            let message = format!(
                "{} answered {} with a body that is not UTF-8{}",
                self.name(),
                self.status(),
                self.encoding()
            );
            self.with_upstream(Failure::other(message).code("response-invalid"))
        })
    }

    /// What the headers say of how the body is encoded, for a message.
    fn encoding(&self) -> String {
        let mut said = String::new();
        for name in ["content-encoding", "content-type"] {
            if let Some(value) = self.header(name) {
                said.push_str(&format!("; {name}: {}", excerpt(value, 100)));
            }
        }
        said
    }

    /// The body with U+FFFD for halves of surrogate pairs, if it has any.
    fn mended(&self) -> Option<&str> {
        let mend = || crate::mended(self.body_text()?);
        self.mended.get_or_init(mend).as_deref()
    }

    /// The body, decoded from JSON.
    ///
    /// A body that is no JSON at all (a maintenance page, a text cut off) is a `transient`
    /// failure with the code `response-not-json`, and of kind `other` when a write was answered with a 2xx,
    /// as that was done ([`written`](Self::written) reads such answers); JSON of another shape than `T` is `other` with
    /// the code `response-invalid`, as repeating the request would not help, and so is a number out of range.
    /// Both name the URL, the line and column, and the body's first bytes, and are blamed on the outside API.
    /// Half of a surrogate pair is read as U+FFFD.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let text = self.text()?;
        let decoded = serde_json::from_str(text).or_else(|error| match self.mended() {
            Some(mended) => serde_json::from_str(mended),
            None => Err(error),
        });
        decoded.map_err(|error| self.decode_failure(&DecodeError::of(&error)))
    }

    /// The body taken out, for a page to keep. A failure when it is not UTF-8, and so not JSON.
    pub(super) fn into_text(mut self) -> Result<(Self, String)> {
        match String::from_utf8(std::mem::take(&mut self.answer.body)) {
            Ok(mut text) => {
                if text.starts_with('\u{feff}') {
                    text.drain(..'\u{feff}'.len_utf8());
                }
                Ok((self, text))
            }
            Err(error) => {
                self.answer.body = error.into_bytes();
                self.text()?;
                Ok((self, String::new()))
            }
        }
    }

    fn decode_failure(&self, error: &DecodeError) -> Failure {
        let is_redirect = self.is_of_write() && REDIRECTS.contains(&self.status());
        if let Some(target) = self.header("location").filter(|_| is_redirect) {
            return self.redirected(target);
        }
        let body = String::from_utf8_lossy(&self.answer.body);
        let mut failure = error.failure(&self.name(), self.status(), &body);
        if self.is_of_write() && (200..300).contains(&self.status()) {
            failure.kind = FailureKind::Other;
            failure
                .message
                .push_str("; it was done, so it is not sent again");
        }
        failure
    }

    /// The body as text, without a byte-order mark; `None` when it is not UTF-8.
    pub(super) fn body_text(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.answer.body).ok()?;
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// What was sent, if it was text and not long.
    pub(super) fn sent_text(&self) -> Option<&str> {
        std::str::from_utf8(self.sent.as_deref()?).ok()
    }

    /// Whether the body is a page for people: by its first characters, as APIs call texts `text/html` too.
    #[must_use]
    pub fn is_html(&self) -> bool {
        let body = String::from_utf8_lossy(self.bytes().get(..512).unwrap_or(self.bytes()));
        let body = body
            .trim_start_matches('\u{feff}')
            .trim_start()
            .to_ascii_lowercase();
        body.starts_with("<!doctype html") || body.starts_with("<html") || {
            let type_ = self.header("content-type").unwrap_or_default();
            body.starts_with('<')
                && type_
                    .trim_start()
                    .to_ascii_lowercase()
                    .starts_with("text/html")
        }
    }

    /// The beginning of the body, for a message.
    pub(super) fn excerpt(&self) -> String {
        let body = String::from_utf8_lossy(&self.answer.body);
        excerpt(body.trim(), EXCERPT_MAX)
    }

    /// The failure, with what was answered: one of kind `other` is blamed on the outside API then.
    #[must_use]
    pub fn with_upstream(&self, failure: Failure) -> Failure {
        let body = String::from_utf8_lossy(&self.answer.body);
        failure.upstream(
            self.status(),
            truncated(&body, UPSTREAM_BODY_BYTES_MAX).to_owned(),
        )
    }

    /// When the API wants to be asked again, by its headers.
    pub(super) fn retry_after_ms(&self, now: u64) -> Option<u64> {
        Pace::of(&self.headers(), now).retry_after_ms
    }

    /// How messages name what was asked.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, excerpt(self.url(), 300))
    }

    /// Itself, or the failure that a status of 400 and more means, as
    /// [`send`](crate::RequestBuilder::send) has it: for a response of `send_any`, once the statuses
    /// that mean something else have been looked at.
    ///
    /// The answer to a write (a method that is not safe) is a failure from 300 on: a redirect that the host
    /// did not follow is of kind `config` with the code `http-redirected`, and names the target.
    pub fn or_failure(self, cx: &Cx) -> Result<Self> {
        let good = if self.is_of_write() { 300 } else { 400 };
        if self.status() < good {
            Ok(self)
        } else {
            Err(self.status_failure(cx.now()))
        }
    }

    /// The failure that a status which is no success means.
    pub(super) fn status_failure(&self, now: u64) -> Failure {
        let status = self.status();
        if REDIRECTS.contains(&status)
            && let Some(target) = self.header("location")
        {
            return self.redirected(target);
        }
        let body = String::from_utf8_lossy(&self.answer.body);
        let pace = Pace::of(&self.headers(), now);
        let kind = match status {
            _ if pace.may_pass(status, &body) => FailureKind::Transient,
            401 | 403 => FailureKind::Auth,
            _ => FailureKind::Rejected,
        };
        let message = if body.trim().is_empty() {
            format!("{} answered {status}", self.name())
        } else {
            let body = excerpt(body.trim(), EXCERPT_MAX);
            format!("{} answered {status}: {body}", self.name())
        };
        let failure = Failure::new(kind, message).code(format!("http-{status}"));
        let mut failure = self.with_upstream(failure);
        if kind == FailureKind::Transient {
            failure.retry_after_ms = pace.retry_after_ms;
        }
        failure
    }

    /// A redirect that the host did not follow, since it would have made another request of it.
    fn redirected(&self, target: &str) -> Failure {
        let (name, status) = (self.name(), self.status());
        let target = excerpt(target, 300);
        let advice = match status {
            303 => {
                "this may be how the API says that it was done: then let a rule of `responses` say so, or \
                 the plugin ask there; else set the base URL or the path so that nothing redirects"
            }
            _ => {
                "a write is not sent elsewhere: set the base URL or the path so that nothing redirects"
            }
        };
        let message = format!("{name} answered {status} and redirects to {target}; {advice}");
        self.with_upstream(Failure::config(message).code("http-redirected"))
    }
}

/// serde_json's word for a number that no float holds.
const OUT_OF_RANGE: &str = "number out of range";

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
            // Such a number is JSON, and there will be the same one the next time.
            shape: error.classify() == Category::Data || error.to_string().contains(OUT_OF_RANGE),
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
        .upstream(status, truncated(body, UPSTREAM_BODY_BYTES_MAX).to_owned())
    }
}
