//! One rule: which answers it is about, and what they mean.

use serde::Deserialize;
use serde_json::Value;

use super::milliseconds;
use crate::{Pointer, document};

/// What an answer means, in the words of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    Success,
    Empty,
    Gone,
    Retry,
    RateLimited,
    Auth,
    Config,
    Fail,
}

/// A rule, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawRule")]
pub(super) struct Rule {
    statuses: Option<Vec<(u16, u16)>>,
    pointer: Option<String>,
    test: Vec<Test>,
    pub(super) action: Meaning,
    message: Option<String>,
    retry_after: Option<String>,
}

/// What the value has to be.
#[derive(Debug, Clone)]
enum Test {
    OneOf(Vec<Value>),
    Contains(String),
    Present(bool),
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    status: Option<Statuses>,
    pointer: Option<String>,
    #[serde(default, deserialize_with = "some")]
    equals: Option<Value>,
    r#in: Option<Vec<Value>>,
    contains: Option<String>,
    present: Option<bool>,
    action: Meaning,
    message: Option<String>,
    retry_after: Option<String>,
}

/// `null` is a value to be equal to.
fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a status, a class of them such as \"4xx\", or a list of these"
)]
enum Statuses {
    One(Status),
    Many(Vec<Status>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Number(u16),
    Class(String),
}

impl Status {
    /// The first and the last one.
    fn range(&self) -> Result<(u16, u16), String> {
        match self {
            Status::Number(status @ 100..=599) => Ok((*status, *status)),
            Status::Number(status) => Err(format!("{status} is no status: 100 to 599 are")),
            Status::Class(class) => match class.as_bytes() {
                [digit @ b'1'..=b'5', b'x', b'x'] => {
                    let first = u16::from(digit - b'0') * 100;
                    Ok((first, first + 99))
                }
                _ => Err(format!("{class:?} is no class of statuses such as \"4xx\"")),
            },
        }
    }
}

impl TryFrom<RawRule> for Rule {
    type Error = String;

    fn try_from(written: RawRule) -> Result<Self, String> {
        let statuses = match &written.status {
            None => None,
            Some(Statuses::One(one)) => Some(vec![one.range()?]),
            Some(Statuses::Many(many)) => {
                Some(many.iter().map(Status::range).collect::<Result<_, _>>()?)
            }
        };
        let pointers = [&written.pointer, &written.message, &written.retry_after];
        for pointer in pointers.into_iter().flatten() {
            Pointer::parse(pointer).map_err(|error| error.to_string())?;
        }
        let needs_pointer =
            written.equals.is_some() || written.r#in.is_some() || written.present.is_some();
        if needs_pointer && written.pointer.is_none() {
            let problem = "`equals`, `in` and `present` are about the value at a `pointer`";
            return Err(problem.to_owned());
        }
        let mut test = Vec::new();
        test.extend(written.equals.map(|value| Test::OneOf(vec![value])));
        test.extend(written.r#in.map(Test::OneOf));
        test.extend(written.contains.map(Test::Contains));
        test.extend(written.present.map(Test::Present));
        if written.pointer.is_some() && test.is_empty() {
            test.push(Test::Present(true));
        }
        if statuses.is_none() && test.is_empty() {
            return Err(
                "a rule needs a `status`, a `pointer` or a text that the body `contains`"
                    .to_owned(),
            );
        }
        Ok(Rule {
            statuses,
            pointer: written.pointer,
            test,
            action: written.action,
            message: written.message,
            retry_after: written.retry_after,
        })
    }
}

impl Rule {
    /// Whether an answer is one of these. `body` is `None` when it is no text.
    pub(super) fn matches(&self, status: u16, body: Option<&str>) -> bool {
        let wanted = self.statuses.as_ref();
        if wanted.is_some_and(|ranges| !ranges.iter().any(|(a, z)| (*a..=*z).contains(&status))) {
            return false;
        }
        self.test.iter().all(|test| self.passes(test, body))
    }

    fn passes(&self, test: &Test, body: Option<&str>) -> bool {
        let Some(pointer) = &self.pointer else {
            return match test {
                Test::Contains(text) => body.is_some_and(|body| body.contains(text)),
                Test::OneOf(_) | Test::Present(_) => false,
            };
        };
        let value = body.and_then(|body| value(body, pointer));
        match test {
            Test::Present(wanted) => value.is_some_and(|value| !value.is_null()) == *wanted,
            Test::OneOf(values) => {
                value.is_some_and(|value| values.iter().any(|wanted| same(&value, wanted)))
            }
            Test::Contains(text) => value.is_some_and(|value| match value {
                Value::String(found) => found.contains(text),
                other => other.to_string().contains(text),
            }),
        }
    }

    /// What the answer says about it, if the rule says where that is.
    pub(super) fn message(&self, body: Option<&str>) -> Option<String> {
        match value(body?, self.message.as_ref()?)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// How long to wait, in milliseconds, if the rule says where the answer has that.
    pub(super) fn wait(&self, body: Option<&str>) -> Option<u64> {
        let seconds = match value(body?, self.retry_after.as_ref()?)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        milliseconds(seconds)
    }
}

fn value(json: &str, pointer: &str) -> Option<Value> {
    serde_json::from_str(document::at(json, pointer)?).ok()
}

/// 1 and 1.0 are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}
