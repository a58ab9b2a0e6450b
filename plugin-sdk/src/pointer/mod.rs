//! JSON pointers (RFC 6901): where something lies in a JSON text.

mod finder;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

pub use self::finder::{Finder, Found};

/// A JSON pointer (RFC 6901): empty for the whole text, or segments that each begin with `/`. In a segment `~1`
/// stands for `/` and `~0` for `~`; no other `~` may stand there. An element of an array is named by its
/// digits, without a leading zero ([`Pointer::index`]); `-`, the place after the last element, names none.
///
/// ```
/// use tidegate_sdk::{Pointer, scalar_text};
///
/// let pointer: Pointer = "/data/0/a~1b".parse()?;
/// assert_eq!(pointer.segments(), ["data", "0", "a/b"]);
/// let value = pointer.value(r#"{ "data": [{ "a/b": 7 }] }"#)?;
/// assert_eq!(value.and_then(scalar_text).as_deref(), Some("7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    segments: Vec<String>,
}

/// A text that is no JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerError {
    text: String,
}

impl Pointer {
    /// The pointer that is written so.
    ///
    /// # Errors
    ///
    /// The text is neither empty nor begins with `/`, or has a `~` that neither `0` nor `1` follows.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (segment, after) = split(rest).ok_or_else(|| PointerError {
                text: text.to_owned(),
            })?;
            segments.push(segment.into_owned());
            rest = after;
        }
        Ok(Pointer { segments })
    }

    /// The pointer of these segments, which are plain: `~` and `/` are characters like any other.
    pub fn of_segments<S: Into<String>>(segments: impl IntoIterator<Item = S>) -> Self {
        Pointer {
            segments: segments.into_iter().map(Into::into).collect(),
        }
    }

    /// Its segments, plain. None for the whole text.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The element of an array that a segment names (RFC 6901 §4): `0`, or digits without a leading zero.
    #[must_use]
    pub fn index(segment: &str) -> Option<usize> {
        let digits = segment.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = digits && (segment == "0" || !segment.starts_with('0'));
        segment.parse().ok().filter(|_| is_plain)
    }

    /// The value that it points at in a JSON text, unless there is none or it is null. For several pointers into
    /// one text use a [`Finder`].
    ///
    /// # Errors
    ///
    /// The text is not JSON, or is nested deeper than 127 levels.
    pub fn value<'a>(&self, json: &'a str) -> serde_json::Result<Option<&'a RawValue>> {
        let mut found = [Found::Nothing];
        Finder::of_one(self.clone()).find(json, &mut found)?;
        let [found] = found;
        Ok(found.value())
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        Pointer::parse(text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no JSON pointer; it is empty, or begins with `/`, like `/data/id`",
            self.text
        )
    }
}

impl std::error::Error for PointerError {}

/// The first segment of a pointer, plain, and the rest. `None` for what is no pointer, and for the empty one.
pub(crate) fn split(pointer: &str) -> Option<(Cow<'_, str>, &str)> {
    let pointer = pointer.strip_prefix('/')?;
    let (segment, rest) = match pointer.find('/') {
        Some(at) => pointer.split_at(at),
        None => (pointer, ""),
    };
    Some((plain(segment)?, rest))
}

fn plain(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('~') {
        return Some(Cow::Borrowed(segment));
    }
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
    Some(Cow::Owned(plain))
}

/// A string's characters, with U+FFFD for half of a surrogate pair, or a number's digits as they are written; `None`
/// for other values. So an id, a cursor or a part of a path is read that is a text in one API and a number in another.
#[must_use]
pub fn scalar_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    match raw.get().as_bytes().first()? {
        b'"' => match serde_json::from_str::<Text<'_>>(raw.get()) {
            Ok(text) => Some(text.0),
            Err(_) => {
                let mended = crate::mended(raw.get())?;
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

    use super::{Pointer, scalar_text};

    #[test]
    fn pointers() {
        for (text, segments) in [
            ("", &[][..]),
            ("/", &[""]),
            ("//", &["", ""]),
            ("/a/b", &["a", "b"]),
            ("/a~1b~0", &["a/b~"]),
            // `~01` is `~1`, and not `/` (RFC 6901 §4).
            ("/~01", &["~1"]),
            ("/~00", &["~0"]),
            ("/ /é", &[" ", "é"]),
        ] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(pointer.segments(), segments, "{text}");
            assert_eq!(pointer.to_string(), text);
            assert_eq!(Pointer::of_segments(segments.to_vec()), pointer);
        }
        for text in ["a", "#/a", " /a", "/~", "/~2", "/a~", "/~é", "/a/~/b"] {
            let problem = Pointer::parse(text).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("`{text}` is no JSON pointer")));
        }
    }

    /// The pointers of RFC 6901 §5.
    #[test]
    fn the_documents_own() {
        let json = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        for (pointer, expected) in [
            ("", json),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            let value = Pointer::parse(pointer).unwrap().value(json).unwrap();
            assert_eq!(value.map(RawValue::get), Some(expected), "{pointer}");
        }
        for pointer in [
            "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/1e0", "/foo/bar",
        ] {
            let value = Pointer::parse(pointer).unwrap().value(json).unwrap();
            assert!(value.is_none(), "{pointer}");
        }
    }

    #[test]
    fn indexes() {
        for (segment, expected) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("", None),
            ("-", None),
            ("-1", None),
            ("+1", None),
            ("01", None),
            ("00", None),
            ("1.0", None),
            ("٣", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(Pointer::index(segment), expected, "{segment}");
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
            ("null", None),
            ("[1]", None),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(scalar_text(raw).as_deref(), expected, "{json}");
        }
    }
}
