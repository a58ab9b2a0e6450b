//! Leaves of members that occur more than once in an object only the last. Rare, and so written plainly.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// `json`, which was checked, without the members that a later one of the same name replaces.
pub(super) fn last_members(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    put(json, &mut out);
    out
}

/// Nesting is bounded: it was checked.
fn put(json: &str, out: &mut String) {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => {
            let Ok(Members(members)) = serde_json::from_str(json) else {
                return out.push_str(json);
            };
            let named = members.iter().enumerate();
            let last: HashMap<&str, usize> =
                named.map(|(at, (name, _))| (name.as_ref(), at)).collect();
            out.push('{');
            let mut first = true;
            for (at, (name, value)) in members.iter().enumerate() {
                if last.get(name.as_ref()) != Some(&at) {
                    continue;
                }
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(name.as_ref()).to_string());
                out.push(':');
                put(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let Ok(Elements(elements)) = serde_json::from_str(json) else {
                return out.push_str(json);
            };
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                put(element.get(), out);
            }
            out.push(']');
        }
        _ => out.push_str(json.trim()),
    }
}

#[derive(Deserialize)]
struct Elements<'a>(#[serde(borrow)] Vec<&'a RawValue>);

/// The members of an object, all of them.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AllMembers)
    }
}

struct AllMembers;

impl<'de> Visitor<'de> for AllMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
