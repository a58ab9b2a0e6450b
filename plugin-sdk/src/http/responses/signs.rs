//! What a JSON body says of its own success, in the words that APIs use for it.

use std::borrow::Cow;

use serde_json::Value;

use super::super::response::Response;
use super::{Expected, milliseconds};
use crate::document;

/// False says that it failed.
const SUCCESS: [&str; 5] = ["ok", "success", "successful", "succeeded", "issuccess"];
/// True says so.
const FAILURE: [&str; 4] = ["errors", "error", "haserrors", "haserror"];
/// What is there and not empty says so, beside no data.
const ERROR: [&str; 2] = ["error", "errors"];
/// One of [`BAD`] in an answer that is nothing but a word about itself.
const STATE: [&str; 2] = ["status", "result"];
const BAD: [&str; 9] = [
    "error", "err", "fail", "failed", "failure", "rejected", "invalid", "denied", "refused",
];
/// What an object has that is a record.
const IDENTITY: [&str; 4] = ["id", "uuid", "guid", "key"];
/// What is no data: words about the answer itself.
const ENVELOPE: &[&str] = &[
    "apiversion",
    "code",
    "correlationid",
    "description",
    "detail",
    "details",
    "docurl",
    "documentationurl",
    "errorcode",
    "errordescription",
    "errormessage",
    "errortype",
    "extensions",
    "help",
    "helpurl",
    "hint",
    "instance",
    "message",
    "messages",
    "meta",
    "metadata",
    "moreinfo",
    "msg",
    "needed",
    "path",
    "provided",
    "reason",
    "reasons",
    "requestid",
    "responsemetadata",
    "retryafter",
    "status",
    "statuscode",
    "statustext",
    "time",
    "timestamp",
    "title",
    "traceid",
    "type",
    "version",
    "warning",
    "warnings",
];
/// Where an error says what it is, for a program and for a person.
const CODES: [&str; 6] = ["code", "type", "error", "status", "errorcode", "reason"];
const TEXTS: [&str; 6] = [
    "message",
    "errormessage",
    "errordescription",
    "detail",
    "msg",
    "title",
];
const RATE_LIMITS: [&str; 9] = [
    "ratelimited",
    "ratelimit",
    "ratelimitexceeded",
    "ratelimiterror",
    "throttled",
    "throttling",
    "throttlingexception",
    "toomanyrequests",
    "resourceexhausted",
];
const CREDENTIALS: [&str; 12] = [
    "accountinactive",
    "authenticationfailed",
    "expiredtoken",
    "invalidapikey",
    "invalidauth",
    "invalidtoken",
    "notauthed",
    "tokenexpired",
    "tokenrevoked",
    "unauthenticated",
    "unauthorized",
    "unauthorised",
];

/// Why an answer says that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    RateLimit,
    Credentials,
    Other,
}

/// What a body says of itself.
#[derive(Debug)]
pub(super) struct Signs {
    pub(super) is_failure: bool,
    pub(super) cause: Cause,
    /// The error, for a person.
    pub(super) said: Option<String>,
    pub(super) retry_after_ms: Option<u64>,
}

impl Signs {
    /// `None` for a body that is no JSON object.
    pub(super) fn read(response: &Response, expected: Expected) -> Option<Self> {
        let body = response.body_text()?;
        let members = document::top_level(body)?;
        let echo = response.sent_text().and_then(document::top_level);
        let mut found = BodySign::default();
        for (name, value) in &members {
            let echoed = echo.iter().flatten();
            let is_echo = |(sent, sent_value): &(Cow<'_, str>, &str)| {
                sent == name && equal(sent_value, value)
            };
            if expected == Expected::Write && echoed.clone().any(is_echo) {
                found.has_data = true;
                continue;
            }
            found.add(&plain(name), value);
        }
        let is_failure = match expected {
            Expected::List => {
                found.says_no || found.error.is_some() || (found.is_bad && !found.has_data)
            }
            Expected::Record | Expected::Write => {
                let has_data = found.has_data || found.has_value_at_data;
                (found.says_no && !found.has_identity)
                    || (found.error.is_some() && (!has_data || found.is_graphql(&members)))
                    || (found.is_bad && !found.has_data)
            }
        };
        Some(Signs {
            is_failure,
            cause: found.cause(),
            said: found.said(),
            retry_after_ms: found.wait,
        })
    }
}

#[derive(Default)]
struct BodySign {
    says_no: bool,
    is_bad: bool,
    has_data: bool,
    has_identity: bool,
    has_value_at_data: bool,
    error: Option<Value>,
    code: Option<String>,
    text: Option<String>,
    wait: Option<u64>,
}

impl BodySign {
    fn add(&mut self, name: &str, json: &str) {
        if SUCCESS.contains(&name) && matches!(json, "true" | "false" | "0") {
            self.says_no |= json != "true";
            return;
        }
        if FAILURE.contains(&name) && matches!(json, "true" | "false") {
            self.says_no |= json == "true";
            return;
        }
        if ERROR.contains(&name) {
            // A list of errors may be long; that it is there says enough.
            let value = serde_json::from_str(json).unwrap_or_default();
            if !is_nothing(&value) && self.error.is_none() {
                self.error = Some(value);
            }
            return;
        }
        if STATE.contains(&name)
            && let Ok(text) = serde_json::from_str::<String>(json)
        {
            self.is_bad |= BAD.contains(&plain(&text).as_str());
            return;
        }
        if name == "data" {
            // JSend's failures tell in `data` what is wrong.
            self.has_value_at_data = is_something(json);
            return;
        }
        if name == "retryafter" {
            self.wait = serde_json::from_str(json).ok().and_then(milliseconds);
        }
        if CODES.contains(&name) && self.code.is_none() {
            self.code = serde_json::from_str(json).ok();
        }
        if TEXTS.contains(&name) && self.text.is_none() {
            self.text = serde_json::from_str(json).ok();
        }
        if !ENVELOPE.contains(&name) && is_something(json) {
            self.has_data = true;
            self.has_identity |= IDENTITY.contains(&name.trim_start_matches('_'));
        }
    }

    /// `data`, `errors` and nothing else of its own: GraphQL (its specification, §7.1), where errors beside
    /// data mean that some of what was asked was not done.
    fn is_graphql(&self, members: &[(Cow<'_, str>, &str)]) -> bool {
        let known = |name: &str| matches!(name, "data" | "errors" | "extensions");
        members.iter().all(|(name, _)| known(name))
            && self.error.as_ref().is_some_and(Value::is_array)
    }

    /// The error's own words, outermost last.
    fn words(&self) -> (Vec<String>, Option<String>) {
        let mut codes: Vec<String> = self.code.iter().cloned().collect();
        let mut text = None;
        let error = match &self.error {
            Some(Value::Array(list)) => list.first(),
            other => other.as_ref(),
        };
        match error {
            Some(Value::String(word)) => codes.push(word.clone()),
            Some(Value::Object(members)) => {
                let inner = members.get("extensions").and_then(Value::as_object);
                for (name, value) in members.iter().chain(inner.into_iter().flatten()) {
                    let (name, Some(word)) = (plain(name), value.as_str()) else {
                        continue;
                    };
                    if CODES.contains(&name.as_str()) {
                        codes.push(word.to_owned());
                    } else if TEXTS.contains(&name.as_str()) && text.is_none() {
                        text = Some(word.to_owned());
                    }
                }
            }
            _ => {}
        }
        (codes, text.or_else(|| self.text.clone()))
    }

    fn cause(&self) -> Cause {
        let (codes, _) = self.words();
        let has = |known: &[&str]| {
            codes
                .iter()
                .any(|code| known.contains(&plain(code).as_str()))
        };
        match () {
            () if has(&RATE_LIMITS) => Cause::RateLimit,
            () if has(&CREDENTIALS) => Cause::Credentials,
            () => Cause::Other,
        }
    }

    fn said(&self) -> Option<String> {
        let (mut codes, text) = self.words();
        codes.dedup();
        let words: Vec<String> = codes.into_iter().chain(text).collect();
        match &self.error {
            _ if !words.is_empty() => Some(words.join(": ")),
            Some(error) => Some(error.to_string()),
            None => None,
        }
    }
}

/// A name as it is compared: in lower case, without `_` and `-`.
pub(super) fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether it may be nothing at all, seen from its length; a longer one has something in it.
fn is_short(json: &str) -> bool {
    json.len() <= 1024
}

/// Whether a value says nothing: null, false, 0, an empty text, list or object, or one of nothing else.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(plain(text.trim()).as_str(), "" | "none" | "null" | "ok"),
        Value::Array(items) => items.iter().all(Value::is_null),
        Value::Object(members) => members.values().all(is_nothing),
    }
}

/// Whether a value says something.
fn is_something(json: &str) -> bool {
    !is_short(json) || serde_json::from_str(json).is_ok_and(|value| !is_nothing(&value))
}

fn equal(one: &str, other: &str) -> bool {
    let parsed = |json| serde_json::from_str::<Value>(json).ok();
    one == other || (is_short(one) && is_short(other) && parsed(one) == parsed(other))
}
