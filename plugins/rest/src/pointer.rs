//! JSON pointers (RFC 6901): where something lies in a JSON text.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::find::{Finder, Found};

/// A JSON pointer: empty for the whole text, or segments that each begin with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) segments: Vec<String>,
}

impl Pointer {
    /// `None` for what is no pointer.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Pointer {
                segments: Vec::new(),
            });
        }
        let segments = text.strip_prefix('/')?.split('/').map(unescape);
        Some(Pointer {
            segments: segments.collect::<Option<_>>()?,
        })
    }

    /// The value that it points at, unless there is none or it is null.
    pub(crate) fn value<'a>(&self, json: &'a str) -> serde_json::Result<Option<&'a RawValue>> {
        let mut found = [Found::Nothing];
        Finder::new(vec![self.clone()]).find(json, &mut found)?;
        let [found] = found;
        Ok(found.value())
    }
}

fn unescape(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match part.split_at_checked(1)? {
            ("0", rest) => ('~', rest),
            ("1", rest) => ('/', rest),
            _ => return None,
        };
        plain.push(escaped);
        plain.push_str(rest);
    }
    Some(plain)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// A string's characters, with U+FFFD for half of a surrogate pair, or a number's digits; `None` for
/// other values.
pub(crate) fn scalar(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => match serde_json::from_str::<Text<'_>>(raw.get()) {
            Ok(text) => Some(text.0),
            Err(_) => {
                let mended = tidegate_sdk::mended(raw.get())?;
                serde_json::from_str(&mended).ok().map(Cow::Owned)
            }
        },
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw.get())),
        _ => None,
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Pointer, scalar};

    #[test]
    fn pointers() {
        for text in ["", "/", "/a/b", "/a~1b~0", "//"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        for text in ["a", "/~", "/~2", "/a~"] {
            assert!(Pointer::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn scalars() {
        for (json, expected) in [
            (r#""a""#, Some("a")),
            (r#""a\u00e9\n""#, Some("aé\n")),
            (r#""cut \ud83d""#, Some("cut \u{fffd}")),
            ("-1.50", Some("-1.50")),
            ("true", None),
            ("[1]", None),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(scalar(raw).as_deref(), expected, "{json}");
        }
    }
}
