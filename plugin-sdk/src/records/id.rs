//! A record's id, taken from its JSON text without decoding the rest.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The value of the member `field` as text: a string or an integer. The scan stops there, so an
/// id at the start of a record costs next to nothing.
pub(super) fn find(json: &str, field: &str) -> Result<String, String> {
    let mut found = None;
    // The scan ends early on purpose, which serde_json takes for an error.
    let scanned = serde_json::Deserializer::from_str(json).deserialize_map(Object {
        field,
        found: &mut found,
    });
    match (found, scanned) {
        (Some(value), _) => text_of(value)
            .ok_or_else(|| format!("its `{field}` is {value}, neither a text nor an integer")),
        (None, Ok(())) => Err(format!("it has no `{field}`")),
        (None, Err(error)) if error.is_data() => Err("it is not a JSON object".to_owned()),
        (None, Err(error)) => Err(format!("it is not JSON: {error}")),
    }
}

/// The text of an id: what is in a string that is not empty, or the digits of an integer.
fn text_of(value: &str) -> Option<String> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.to_owned());
    }
    let text: String = serde_json::from_str(value).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

struct Object<'f, 'de> {
    field: &'f str,
    found: &'f mut Option<&'de str>,
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if name.0 == self.field {
                *self.found = Some(map.next_value::<&RawValue>()?.get());
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The name of a member, copied only when it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn ids() {
        for (json, expected) in [
            (r#"{"id":"a"}"#, Ok("a")),
            (r#"{"x":{"id":1},"id":"a\u00e9","y":[]}"#, Ok("aé")),
            (r#" { "id" : 7 } "#, Ok("7")),
            (r#"{"id":-7}"#, Ok("-7")),
            (r#"{"id":98446744073709551615}"#, Ok("98446744073709551615")),
            (r#"{"\u0069d":"escaped"}"#, Ok("escaped")),
            (
                r#"{"id":""}"#,
                Err("its `id` is \"\", neither a text nor an integer"),
            ),
            (
                r#"{"id":null}"#,
                Err("its `id` is null, neither a text nor an integer"),
            ),
            (
                r#"{"id":[1]}"#,
                Err("its `id` is [1], neither a text nor an integer"),
            ),
            (
                r#"{"id":{"a":1}}"#,
                Err("its `id` is {\"a\":1}, neither a text nor an integer"),
            ),
            (
                r#"{"id":1.5}"#,
                Err("its `id` is 1.5, neither a text nor an integer"),
            ),
            (
                r#"{"id":1e3}"#,
                Err("its `id` is 1e3, neither a text nor an integer"),
            ),
            (r#"{"name":"x"}"#, Err("it has no `id`")),
            (r#"{}"#, Err("it has no `id`")),
            (r#"[1]"#, Err("it is not a JSON object")),
            (r#""id""#, Err("it is not a JSON object")),
        ] {
            let found = find(json, "id");
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{json}");
        }
        assert_eq!(find(r#"{"id":1,"key":"k"}"#, "key").as_deref(), Ok("k"));
        assert!(
            find("{\"a\":", "id")
                .unwrap_err()
                .starts_with("it is not JSON")
        );
    }
}
