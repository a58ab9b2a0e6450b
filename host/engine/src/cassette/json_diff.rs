//! Where two JSON texts differ: paths with old and new values, as many as a person reads.

use serde_json::Value;

/// Longest value that is shown, in characters.
const SHOWN_MAX: usize = 120;

/// The paths at which `old` and `new` differ, each as `path: old → new`; at most `most`, and then
/// how many more there are. Texts that differ in nothing but their bytes say so.
pub(super) fn json_diff(old: &str, new: &str, most: usize) -> Vec<String> {
    let (Ok(a), Ok(b)) = (
        serde_json::from_str::<Value>(old),
        serde_json::from_str::<Value>(new),
    ) else {
        return vec![format!("{} → {}", cut(old), cut(new))];
    };
    let mut found = Vec::new();
    walk("", &a, &b, &mut found);
    if found.is_empty() {
        return vec!["the same JSON in other bytes (order of keys, spaces, escapes)".to_owned()];
    }
    let more = found.len().saturating_sub(most);
    found.truncate(most);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    found
}

fn walk(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let path = format!("{path}/{}", escaped(key));
                match b.get(key) {
                    Some(other) => walk(&path, value, other, found),
                    None => found.push(format!("{path}: {} → (gone)", shown(value))),
                }
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                found.push(format!("{path}/{}: (new) → {}", escaped(key), shown(value)));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path}/{index}"), a, b, found);
            }
            let common = a.len().min(b.len());
            for (index, value) in a.iter().enumerate().skip(common) {
                found.push(format!("{path}/{index}: {} → (gone)", shown(value)));
            }
            for (index, value) in b.iter().enumerate().skip(common) {
                found.push(format!("{path}/{index}: (new) → {}", shown(value)));
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let path = if path.is_empty() { "(whole)" } else { path };
            found.push(format!("{path}: {} → {}", shown(a), shown(b)));
        }
    }
}

/// A key as part of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
