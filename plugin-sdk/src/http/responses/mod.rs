//! What an answer means: the config's own rules first, then its status and what its body says of itself.

mod items;
mod rule;
mod signs;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;

pub use self::items::ItemResult;
use self::rule::{Meaning, Rule};
use self::signs::Signs;
use super::response::Response;
use crate::failure::FailureKind;
use crate::text::excerpt;
use crate::{Cx, Failure};

/// How much of what an answer says goes into a message.
const SAID_MAX: usize = 300;

/// What was asked for, and so what an answer's body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A list of records, most often in an envelope: any word of an error in it counts.
    List,
    /// One record, whose own members may be called `error` or `status`: only an answer that is nothing
    /// but a word of an error counts as one.
    Record,
    /// Something was to be done: as with [`Record`](Self::Record), as an API may answer with what it
    /// stored. A redirect or a page of HTML is no success.
    Write,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was asked for.
    Success,
    /// There is nothing: an empty list.
    Empty,
    /// What was asked for is not there (any more).
    Gone,
    /// It failed so.
    Failed(Failure),
}

/// Rules that say what an answer means, as a plugin's config has them under `responses`. The first that
/// matches counts; where none does, the answer speaks for itself.
///
/// It is deserialised from a list of objects, and [`SCHEMA`](Self::SCHEMA) is its JSON Schema:
///
/// ```
/// use tidegate_sdk::Responses;
///
/// let rules: Responses = serde_json::from_str(r#"[
///     { "status": 200, "pointer": "/ok", "equals": false, "action": "fail", "message": "/error" },
///     { "status": [420, 423], "action": "rate_limited", "retry_after": "/wait" }
/// ]"#).unwrap();
/// assert_eq!(rules.len(), 2);
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Responses {
    rules: Vec<Rule>,
}

impl Responses {
    /// The JSON Schema of a list of rules, for a plugin's config schema.
    pub const SCHEMA: &'static str = include_str!("responses.schema.json");

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the answer means: by the first rule that matches, else by [its own word](default_verdict).
    #[must_use]
    pub fn judge(&self, cx: &Cx, response: &Response, expected: Expected) -> Verdict {
        let ruled = self.ruled(cx, response);
        ruled.unwrap_or_else(|| default_verdict(cx, response, expected))
    }

    /// What the first rule that matches makes of the answer; `None` when there is none.
    #[must_use]
    pub fn ruled(&self, cx: &Cx, response: &Response) -> Option<Verdict> {
        self.ruled_at(cx.now(), response)
    }

    fn ruled_at(&self, now: u64, response: &Response) -> Option<Verdict> {
        let body = response.body_text();
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.matches(response.status(), body))?;
        let (kind, code) = match rule.action {
            Meaning::Success => return Some(Verdict::Success),
            Meaning::Empty => return Some(Verdict::Empty),
            Meaning::Gone => return Some(Verdict::Gone),
            Meaning::Retry => (FailureKind::Transient, "answer-retry"),
            Meaning::RateLimited => (FailureKind::Transient, "answer-rate-limited"),
            Meaning::Auth => (FailureKind::Auth, "answer-auth"),
            Meaning::Config => (FailureKind::Config, "answer-config"),
            Meaning::Fail => (FailureKind::Rejected, "answer-failed"),
        };
        let said = rule.message(body);
        let said = said.or_else(|| Signs::read(response, Expected::List)?.said);
        let wait = rule.wait(body);
        let mut failure = failed(response, kind, code, said.as_deref());
        if kind == FailureKind::Transient {
            failure.retry_after_ms = wait.or_else(|| response.retry_after_ms(now));
        }
        Some(Verdict::Failed(failure))
    }
}

/// What an answer means without rules.
///
/// A status of 400 and more is the failure that [`or_failure`](Response::or_failure) makes of it, and so is
/// a redirect in answer to a write. A 2xx is a success, unless its JSON body says otherwise: `ok` or
/// `success` is false, `errors` is true, or there is an error (`error`, `errors`, a `status` such as
/// `"rejected"`) beside no data. Null, false, 0, and empty texts, lists and objects are no errors. What a
/// write was sent and got back is the API's echo, not its word. A write whose answer is a page of HTML has an unknown outcome:
/// [`outcome_unknown`](Failure::outcome_unknown).
#[must_use]
pub fn default_verdict(cx: &Cx, response: &Response, expected: Expected) -> Verdict {
    default_at(cx.now(), response, expected)
}

fn default_at(now: u64, response: &Response, expected: Expected) -> Verdict {
    let status = response.status();
    let is_write = expected == Expected::Write;
    if status >= 400 || (status >= 300 && is_write) {
        return Verdict::Failed(response.status_failure(now));
    }
    if is_write && response.is_html() {
        let page = "with a page of HTML, which does not say whether it was done; if it is this API's answer \
                    to what it did, a rule of `responses` can say so";
        return Verdict::Failed(Failure::outcome_unknown(response, page));
    }
    let Some(signs) = Signs::read(response, expected).filter(|signs| signs.is_failure) else {
        return Verdict::Success;
    };
    let (kind, code) = match (signs.cause, is_write) {
        (signs::Cause::RateLimit, _) => (FailureKind::Transient, "answer-rate-limited"),
        (signs::Cause::Credentials, _) => (FailureKind::Auth, "answer-auth"),
        (signs::Cause::Other, true) => (FailureKind::Rejected, "answer-failed"),
        (signs::Cause::Other, false) => (FailureKind::Transient, "answer-failed"),
    };
    let mut failure = failed(response, kind, code, signs.said.as_deref());
    if kind == FailureKind::Transient {
        let header = response.retry_after_ms(now);
        failure.retry_after_ms = header.or(signs.retry_after_ms);
    }
    Verdict::Failed(failure)
}

fn failed(response: &Response, kind: FailureKind, code: &str, said: Option<&str>) -> Failure {
    let (name, status) = (response.name(), response.status());
    let message = match said {
        Some(said) => format!(
            "{name} answered {status}, and says that it failed: {}",
            excerpt(said, SAID_MAX)
        ),
        None => format!(
            "{name} answered {status}, and its body says that it failed: {}",
            response.excerpt()
        ),
    };
    response.with_upstream(Failure::new(kind, message).code(code))
}

/// Seconds, perhaps with a fraction, as milliseconds.
fn milliseconds(seconds: f64) -> Option<u64> {
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
