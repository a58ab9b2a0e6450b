//! Secrets, taken out of whatever an API repeats before it is stored, shown or sent.
//!
//! An API that answers "invalid key sk-…" has the connection's secret in its answer, and the plugin
//! passes that on as a failure, a line of its log or an action's output. Each of these goes through a
//! [`Redactor`] first, which puts `[secret]` in the place of the secret.
//!
//! # What it finds
//!
//! APIs rarely repeat a text as it is. So a text is read several times, each time with one more layer of
//! escapes undone: `\/`, `\u002f`, `\x2f` and the like, `%2F` in either case, `&quot;`, `&#43;`, `&#x2b;`. In
//! each of these readings are sought the secret itself, with `+` and a space as the same; its hexadecimal
//! digits in either case; and its base64 in both alphabets, behind any text (`Bearer …`, `user:…`), over line
//! breaks, of the secret itself or of how it is written in a form, a URL or JSON. That it was cut at the end of
//! the text, or before an ellipsis there, is noticed from [`HEAD_BYTES`](pattern::HEAD_BYTES) on.
//!
//! Not found are secrets of fewer than [`SECRET_BYTES_MIN`] bytes, which would take other texts with them (a
//! PIN stands in many numbers); the middle or end of one alone; and what is compressed, encrypted, hashed,
//! reversed, or in base64 twice.
//!
//! # What it costs
//!
//! A text is read at most [`LAYERS`] + 1 times, in windows, so that time is linear in its length and memory
//! is bounded by the longest secret. Where nothing like the first bytes of a secret appears, that is one look.
//!
//! | module | its one job |
//! |---|---|
//! | `secret` | secret texts: one, and all that one run may come across |
//! | `layer` | one reading of a text, and the next one |
//! | `pattern` | what is sought |
//! | `look` | where it is |

mod finder;
mod layer;
mod pattern;
mod secret;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use finder::Place;
use pattern::Pattern;
pub use secret::{Secret, SecretTexts};

/// What stands in a secret's place.
pub const PLACEHOLDER: &str = "[secret]";
/// Shorter secrets are not looked for.
pub const SECRET_BYTES_MIN: usize = 6;
/// How often escapes are undone: JSON in JSON in HTML in a URL.
const LAYERS: usize = 4;

/// Takes secrets out.
#[derive(Debug, Default)]
pub struct Redactor {
    patterns: Vec<Pattern>,
    /// The secrets as they are, and as in JSON.
    verbatim: Vec<Secret>,
    /// Bytes of text that the longest secret may take up.
    reach: usize,
}

impl Redactor {
    /// Takes out these, but for those that are too short to be told from other texts.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let secrets = secrets.into_iter();
        let long = secrets.filter(|secret| secret.expose().len() >= SECRET_BYTES_MIN);
        let long: Vec<&Secret> = long.collect();
        let patterns: Vec<Pattern> = long.iter().copied().flat_map(pattern::patterns).collect();
        let verbatim = long.iter().copied().flat_map(pattern::verbatim).collect();
        let longest = patterns.iter().map(|pattern| pattern.bytes.len()).max();
        Self {
            patterns,
            verbatim,
            // Each byte as `\u002f` in JSON in JSON, or `&amp;#x2f;`.
            reach: longest.unwrap_or_default() * 12,
        }
    }

    /// A text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(clean) => Cow::Owned(in_utf8(clean)),
        }
    }

    /// Bytes without secrets.
    #[must_use]
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.may_hold(bytes) {
            return Cow::Borrowed(bytes);
        }
        let mut places = Vec::new();
        self.places(bytes, 0..bytes.len(), false, &mut places);
        replaced(bytes, places)
    }

    /// A JSON text without secrets: only its strings change, and numbers that are a secret as they
    /// stand, so that it stays JSON, and each other number keeps its digits.
    #[must_use]
    pub fn json<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        if !self.may_hold(bytes) {
            return Cow::Borrowed(text);
        }
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            let token = match byte {
                b'"' => {
                    let (inner, token) = string(rest);
                    self.places(bytes, at + 1..at + 1 + inner, true, &mut places);
                    token
                }
                b'-' | b'0'..=b'9' => {
                    let number = number(rest);
                    if self.is_secret(number) {
                        places.push((at..at + number.len(), "\"[secret]\""));
                    }
                    number.len()
                }
                _ => 1,
            };
            at += token;
        }
        match replaced(bytes, places) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(clean) => Cow::Owned(in_utf8(clean)),
        }
    }

    /// A JSON value without secrets, in its texts and names of members.
    pub fn value(&self, value: &mut serde_json::Value) {
        let text = value.to_string();
        if let Cow::Owned(clean) = self.json(&text) {
            *value = serde_json::from_str(&clean).unwrap_or_else(|_| PLACEHOLDER.into());
        }
    }

    /// Whether a secret stands here just as it is, or as in JSON: a quick look at much that is kept as it is.
    #[must_use]
    pub fn appears(&self, bytes: &[u8]) -> bool {
        let found =
            |secret: &Secret| memchr::memmem::find(bytes, secret.expose().as_bytes()).is_some();
        self.verbatim.iter().any(found)
    }
}

/// How long the string that begins here is between its quotes, and with them.
fn string(rest: &[u8]) -> (usize, usize) {
    let mut at = 1;
    while let Some(found) = rest
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if rest.get(at) == Some(&b'"') {
            return (at - 1, at + 1);
        }
        at += 2;
    }
    (rest.len() - 1, rest.len())
}

/// The number that begins here.
fn number(rest: &[u8]) -> &[u8] {
    let of_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = rest.iter().take_while(|byte| of_number(byte)).count();
    rest.get(..length).unwrap_or_default()
}

/// `bytes` with other texts in some places; these may overlap and be in any order.
fn replaced(bytes: &[u8], mut places: Vec<Place>) -> Cow<'_, [u8]> {
    if places.is_empty() {
        return Cow::Borrowed(bytes);
    }
    places.sort_by_key(|(place, _)| (place.start, place.end));
    let mut clean = Vec::with_capacity(bytes.len());
    let (mut done, mut begun) = (0, None);
    for (place, instead) in places {
        // What overlaps is one.
        if begun.is_none() || place.start >= done {
            clean.extend(bytes.get(done..place.start).unwrap_or_default());
            clean.extend(instead.bytes());
            begun = Some(place.start);
        }
        done = done.max(place.end);
    }
    clean.extend(bytes.get(done..).unwrap_or_default());
    Cow::Owned(clean)
}

/// Places begin and end between characters.
fn in_utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
