//! The connection's secrets, taken out of what is recorded.
//!
//! The host puts them on requests after the recording, so none gets here by itself. But an API may
//! repeat one in an answer, and the guest in a record. A cassette shall not hold it then either:
//! each is replaced wherever it stands, as itself, escaped as in JSON or in a URL, or in base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use tidegate_egress::Secret;

/// What stands in a secret's place.
const PLACEHOLDER: &str = "[secret]";
/// Shorter secrets would take other texts with them: a PIN stands in many numbers.
const SECRET_BYTES_MIN: usize = 6;

/// Takes secrets out.
#[derive(Debug)]
pub struct Redactor {
    /// Longest first, so that no form is cut by a shorter one in it.
    forms: Vec<Secret>,
}

impl Redactor {
    /// Takes out these, but for those that are too short to be told from other texts.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let mut forms: Vec<String> = secrets
            .iter()
            .map(Secret::expose)
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(forms)
            .collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self {
            forms: forms.into_iter().map(Secret::new).collect(),
        }
    }

    /// A line of JSON without secrets. Only its texts change, so that it stays JSON.
    pub(super) fn line(&self, line: &str) -> String {
        if !self.holds(line.as_bytes()) {
            return line.to_owned();
        }
        match serde_json::from_str::<Value>(line) {
            Ok(mut value) => {
                self.value(&mut value);
                value.to_string()
            }
            Err(_) => self.text(line).into_owned(),
        }
    }

    /// Bytes without secrets.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for form in &self.forms {
            let form = form.expose().as_bytes();
            let mut from = 0;
            while let Some(at) = find(bytes.get(from..).unwrap_or_default(), form) {
                let at = from + at;
                bytes.splice(at..at + form.len(), PLACEHOLDER.bytes());
                from = at + PLACEHOLDER.len();
            }
        }
        bytes
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        let held = |form: &Secret| {
            let form = form.expose();
            // In a line, texts are escaped once more than they are themselves.
            find(bytes, form.as_bytes()).is_some()
                || find(bytes, escaped(form).as_bytes()).is_some()
        };
        self.forms.iter().any(held)
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.text(text) {
                    *text = clean;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(object) => {
                for (key, mut value) in std::mem::take(object) {
                    self.value(&mut value);
                    object.insert(self.text(&key).into_owned(), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for form in &self.forms {
            if clean.contains(form.expose()) {
                clean = Cow::Owned(clean.replace(form.expose(), PLACEHOLDER));
            }
        }
        clean
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = rest.iter().position(|byte| *byte == first)?;
        if rest.get(at..)?.starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
}

/// How a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    // JSON in a text, and JSON in a text of that JSON.
    forms.push(escaped(secret));
    forms.push(escaped(&escaped(secret)));
    forms.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    forms.push(percent_encoded(secret));
    // Without what depends on where the base64 ends.
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        let whole = secret.len() / 3 * 3;
        forms.push(engine.encode(secret.as_bytes().get(..whole).unwrap_or_default()));
    }
    forms
}

/// As it stands in a text of JSON, without the quotes.
fn escaped(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted
        .get(1..quoted.len() - 1)
        .unwrap_or_default()
        .to_owned()
}

/// Every byte but letters, digits, `-`, `.`, `_` and `~` (RFC 3986).
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let secrets: Vec<Secret> = secrets
            .iter()
            .map(|secret| Secret::new((*secret).to_owned()))
            .collect();
        Redactor::new(&secrets)
    }

    #[test]
    fn no_form_of_a_secret_is_left() {
        let secret = "ca\"na/ry=5d+41 é";
        let redactor = redactor(&[secret]);
        let nested = serde_json::json!({"header": format!("Bearer {secret}")}).to_string();
        let twice = serde_json::json!({"body": nested}).to_string();
        for text in [
            secret.to_owned(),
            nested,
            twice,
            format!("https://h/?key={}", percent_encoded(secret)),
            format!(
                "key={}",
                url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()
            ),
            format!("Basic {}", STANDARD_NO_PAD.encode(secret)),
            format!("token {}", URL_SAFE_NO_PAD.encode(secret)),
        ] {
            let line = serde_json::json!({"log": [text, 1, null], &text: true}).to_string();
            let clean = redactor.line(&line);
            assert!(clean.contains(PLACEHOLDER), "{clean}");
            serde_json::from_str::<Value>(&clean).unwrap();
            for part in [
                "na/ry",
                "na%2Fry",
                "5d+41",
                STANDARD_NO_PAD.encode("ca\"na/").as_str(),
            ] {
                assert!(!clean.contains(part), "{part} is left of {text}: {clean}");
            }
        }
        let binary = [b"\xff\xfe", secret.as_bytes(), b"\x00", secret.as_bytes()].concat();
        assert_eq!(redactor.bytes(&binary), b"\xff\xfe[secret]\x00[secret]");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        // (secrets, line): nothing of the line is a text that holds one.
        let rows: [(&[&str], &str); 4] = [
            (&[], r#"{"log":"[secret]"}"#),
            (&["canary"], r#"{"b":1,"a":{"text":"a bird"}}"#),
            (&["12345"], r#"{"text":"12345"}"#),
            (&["17000000"], r#"{"clock":[[1700000000000,1]]}"#),
        ];
        for (secrets, line) in rows {
            assert_eq!(redactor(secrets).line(line), line);
        }
    }
}
