//! Texts with secrets in them: `Token {key}:{app}`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1024;

/// A text that names secrets in braces; `{{` and `}}` are braces that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretTemplate {
    parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    Text(String),
    /// The secret of this name.
    Secret(String),
}

/// A text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a template has at most {TEMPLATE_BYTES_MAX} bytes, not {0}")]
    Long(usize),
    #[error("byte {0}: a brace opens here and never closes; write {{{{ for one that stays")]
    Open(usize),
    #[error("byte {0}: a brace closes here and none is open; write }}}} for one that stays")]
    Close(usize),
    #[error("byte {0}: between the braces there is no secret's name")]
    Empty(usize),
    #[error("it names no secret: write {{KEY}} where the secret KEY goes")]
    NoSecret,
    #[error("it has a control character, which neither a header nor a URL can carry")]
    Control,
}

impl SecretTemplate {
    #[must_use]
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// The secrets that it names, in order, each as often as it stands there.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Secret(name) => Some(name.as_str()),
            TemplatePart::Text(_) => None,
        })
    }
}

impl FromStr for SecretTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::Long(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(TemplateError::Control);
        }
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut chars = text.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '{' | '}' if chars.next_if(|(_, next)| *next == char).is_some() => plain.push(char),
                '}' => return Err(TemplateError::Close(at)),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match chars.next() {
                            Some((_, '}')) => break,
                            None | Some((_, '{')) => return Err(TemplateError::Open(at)),
                            Some((_, char)) => name.push(char),
                        }
                    }
                    if name.is_empty() {
                        return Err(TemplateError::Empty(at));
                    }
                    if !plain.is_empty() {
                        parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(TemplatePart::Secret(name));
                }
                char => plain.push(char),
            }
        }
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
        let template = Self { parts };
        if template.secrets().next().is_none() {
            return Err(TemplateError::NoSecret);
        }
        Ok(template)
    }
}

impl TryFrom<String> for SecretTemplate {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<SecretTemplate> for String {
    fn from(template: SecretTemplate) -> Self {
        template.to_string()
    }
}

impl fmt::Display for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                TemplatePart::Secret(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_templates_or_refused() {
        let text = |text: &str| TemplatePart::Text(text.into());
        let secret = |name: &str| TemplatePart::Secret(name.into());
        for (template, parts) in [
            ("{key}", vec![secret("key")]),
            (
                "Token {a}:{b}!",
                vec![
                    text("Token "),
                    secret("a"),
                    text(":"),
                    secret("b"),
                    text("!"),
                ],
            ),
            (
                r#"{{"k":"{a}"}}"#,
                vec![text(r#"{"k":""#), secret("a"), text(r#""}"#)],
            ),
            ("{{{a}}}", vec![text("{"), secret("a"), text("}")]),
        ] {
            let parsed: SecretTemplate = template.parse().unwrap();
            assert_eq!(parsed.parts(), parts, "{template}");
            assert_eq!(parsed.to_string(), template);
        }
        for (bad, part) in [
            ("", "names no secret"),
            ("{{key}}", "names no secret"),
            ("x{key", "byte 1"),
            ("{a{b}", "byte 0"),
            ("a}", "byte 1"),
            ("ab{}", "byte 2"),
            ("{a}\n", "control"),
            (&"x".repeat(1025), "1024"),
        ] {
            let error = bad.parse::<SecretTemplate>().unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
