//! A connection's metadata: a JSON object that is changed by merging another into it (RFC 7396).

use serde_json::{Map, Value};

use crate::record::PageError;

/// Merge `patch` over `base`: RFC 7396, on objects.
pub fn merge(base: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, Value::Object(new)) => {
                let mut object = Map::new();
                merge(&mut object, new);
                base.insert(key.clone(), Value::Object(object));
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `metadata` with `patch` merged in, if it is not too long then.
pub fn merged(
    metadata: &Map<String, Value>,
    patch: &Map<String, Value>,
    bytes_max: usize,
) -> Result<Map<String, Value>, PageError> {
    let mut metadata = metadata.clone();
    merge(&mut metadata, patch);
    let bytes = serde_json::to_string(&metadata).map_or(usize::MAX, |text| text.len());
    if bytes > bytes_max {
        return Err(PageError::LongMetadata {
            bytes,
            max: bytes_max,
        });
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_as_rfc_7396_does() {
        let rows = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": "b"}),
                json!({"b": "c"}),
                json!({"a": "b", "b": "c"}),
            ),
            (
                json!({"a": "b", "b": 1}),
                json!({"a": null}),
                json!({"b": 1}),
            ),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (
                json!({"a": [1]}),
                json!({"a": [1, 2]}),
                json!({"a": [1, 2]}),
            ),
            (
                json!({}),
                json!({"a": {"bb": {"ccc": null}}}),
                json!({"a": {"bb": {}}}),
            ),
        ];
        for (base, patch, want) in rows {
            let (Value::Object(mut base), Value::Object(patch)) = (base, patch) else {
                panic!("rows are objects");
            };
            merge(&mut base, &patch);
            assert_eq!(Value::Object(base), want);
        }
    }
}
