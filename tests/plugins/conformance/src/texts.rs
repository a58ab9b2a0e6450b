//! Long texts and lists as a case writes them in short: `{"repeat": "x", "times": 9}` and `{"list": …, "times": 9}`.

use tidegate_sdk::prelude::*;

/// The value with its repetitions written out. In a list's element, `{n}` is its number from 0.
pub fn expand(value: &Value) -> Value {
    let times = value.get("times").and_then(Value::as_u64).unwrap_or(0);
    if let Some(part) = value.get("repeat").and_then(Value::as_str) {
        let around = |name| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = usize::try_from(times).unwrap_or(0);
        return json!([around("before"), &part.repeat(count), around("after")].concat());
    }
    if let Some(element) = value.get("list") {
        let element = expand(element);
        return (0..times).map(|n| numbered(&element, n)).collect();
    }
    match value {
        Value::Array(elements) => elements.iter().map(expand).collect(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| (name.clone(), expand(value)))
                .collect()
        }
        other => other.clone(),
    }
}

fn numbered(value: &Value, n: u64) -> Value {
    match value {
        Value::String(text) => json!(text.replace("{n}", &n.to_string())),
        Value::Array(elements) => elements
            .iter()
            .map(|element| numbered(element, n))
            .collect(),
        other => other.clone(),
    }
}
