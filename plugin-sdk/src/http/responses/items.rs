//! What an answer says of each item of a list that was sent: one HTTP status for each.

use serde_json::Value;

use super::super::response::Response;
use super::signs::plain;
use crate::text::excerpt;

/// Where an item has its status.
const STATUS: [&str; 5] = [
    "status",
    "statuscode",
    "httpstatus",
    "httpstatuscode",
    "code",
];
/// Where it says what is wrong.
const TEXTS: [&str; 6] = [
    "error",
    "errors",
    "message",
    "detail",
    "reason",
    "description",
];
const MESSAGE_MAX: usize = 300;

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemResult {
    /// Its HTTP status.
    pub status: u16,
    /// What the answer calls it, if it does.
    pub id: Option<String>,
    /// What is wrong with it.
    pub message: Option<String>,
}

impl Response {
    /// What the answer says of each item of a list that was sent, in its order; `None` when it has no such list. That is a list at the
    /// top, or in a member of the object there, whose every item is an object with an HTTP status: at `status`,
    /// `statusCode` or `code`, or there in its only member, as in the answers of Elasticsearch.
    #[must_use]
    pub fn item_results(&self) -> Option<Vec<ItemResult>> {
        let answer: Value = serde_json::from_str(self.body_text()?).ok()?;
        match &answer {
            Value::Array(list) => all(list),
            Value::Object(members) => members.values().find_map(|value| all(value.as_array()?)),
            _ => None,
        }
    }
}

fn all(list: &[Value]) -> Option<Vec<ItemResult>> {
    let results: Option<Vec<ItemResult>> = list.iter().map(of).collect();
    results.filter(|results| !results.is_empty())
}

fn of(item: &Value) -> Option<ItemResult> {
    let members = item.as_object()?;
    let named = |names: &[&str]| {
        let found = members
            .iter()
            .find(|(name, _)| names.contains(&plain(name).as_str()));
        found.map(|(_, value)| value)
    };
    let Some(status) = named(&STATUS).and_then(status) else {
        let mut inner = members.values();
        return match (inner.next(), inner.next()) {
            (Some(inner @ Value::Object(_)), None) => of(inner),
            _ => None,
        };
    };
    let id = named(&["id"]).or_else(|| members.get("_id"));
    Some(ItemResult {
        status,
        id: id.and_then(text),
        message: named(&TEXTS).filter(|value| !value.is_null()).map(said),
    })
}

/// 201, "201", or an object with it, as in SCIM (RFC 7644 §3.7) of old.
fn status(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Object(members) => return status(members.get("code")?),
        _ => return None,
    };
    u16::try_from(number)
        .ok()
        .filter(|status| (100..600).contains(status))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn said(value: &Value) -> String {
    let inner = value.get("message").or_else(|| value.get("reason"));
    let value = inner.unwrap_or(value);
    excerpt(
        &text(value).unwrap_or_else(|| value.to_string()),
        MESSAGE_MAX,
    )
}
