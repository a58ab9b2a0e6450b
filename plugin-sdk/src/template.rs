//! Texts with places for values: `/contacts/{id}/notes/{/note/id}`.

use std::borrow::Cow;
use std::fmt;

use crate::http::encode;
use crate::pointer::{Pointer, PointerError, scalar_text};

/// A text with places in braces: names that the plugin knows, such as `{id}`, and JSON pointers, such as
/// `{/account/id}`. There is no way to write a brace that stays. Of an RFC 6570 URI template it has no operators.
///
/// ```
/// use tidegate_sdk::{Place, Template};
///
/// let template = Template::parse("/contacts/{id}/notes/{/note/id}", &["id"]).unwrap();
/// let record = r#"{ "note": { "id": "a/b" } }"#;
/// let path = template.fill_path(|place| match place {
///     Place::Name(_) => Some("c7".into()),
///     Place::Value(_) => place.value(record),
/// });
/// assert_eq!(path.unwrap(), "/contacts/c7/notes/a%2Fb");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// What stands between two braces of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A name that the plugin knows.
    Name(String),
    /// A pointer into a record, an input, a config.
    Value(Pointer),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A `{` without a `}`.
    Unclosed,
    /// A name that the plugin does not know.
    Unknown {
        /// What stands between the braces.
        name: String,
        /// The names that it could be.
        known: Vec<String>,
    },
    /// It begins with `/`, but is no JSON pointer.
    Pointer(PointerError),
}

/// Why a template can't be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FillError {
    /// There is no text or number for this place. In a path an empty text is none.
    Missing(Place),
    /// A segment of the path would be `.` or `..`, which leads to another path. No encoding helps against that: URLs
    /// take `%2E` for a dot.
    Elsewhere(String),
}

impl Template {
    /// The template that is written so. `names` are those that may stand in braces, beside JSON pointers.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] says what is wrong with it.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((text, after)) = rest.split_once('{') {
            let (place, next) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(Part::Place(if place.starts_with('/') {
                Place::Value(Pointer::parse(place).map_err(TemplateError::Pointer)?)
            } else if names.contains(&place) {
                Place::Name(place.to_owned())
            } else {
                return Err(TemplateError::Unknown {
                    name: place.to_owned(),
                    known: names.iter().map(|name| (*name).to_owned()).collect(),
                });
            }));
            rest = next;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }

    /// Its places, in their order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place),
            Part::Text(_) => None,
        })
    }

    /// Whether it has no places.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.places().next().is_none()
    }

    /// Whether it has a place of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.places()
            .any(|place| matches!(place, Place::Name(found) if found == name))
    }

    /// The text, with what `value` gives for each place, as it is.
    ///
    /// # Errors
    ///
    /// [`FillError::Missing`], when it gives nothing for one.
    pub fn fill<'v>(
        &self,
        mut value: impl FnMut(&Place) -> Option<Cow<'v, str>>,
    ) -> Result<String, FillError> {
        self.filled(|_, place| value(place))
    }

    /// The path or URL, with what `value` gives for each place, percent-encoded ([`encode`]): a value fills
    /// one segment of a path or one value of a query, whatever characters it has.
    ///
    /// # Errors
    ///
    /// [`FillError::Missing`], when it gives nothing for a place, or an empty text for one in the path;
    /// [`FillError::Elsewhere`], when a segment becomes `.` or `..`.
    pub fn fill_path<'v>(
        &self,
        mut value: impl FnMut(&Place) -> Option<Cow<'v, str>>,
    ) -> Result<String, FillError> {
        let filled = self.filled(|before, place| {
            let is_in_path = !before.contains(['?', '#']);
            let value = value(place).filter(|value| !is_in_path || !value.is_empty());
            value.map(|value| Cow::Owned(encode(&value)))
        })?;
        let path = filled.split(['?', '#']).next().unwrap_or_default();
        match path.split('/').any(|segment| matches!(segment, "." | "..")) {
            true => Err(FillError::Elsewhere(filled)),
            false => Ok(filled),
        }
    }

    /// `value` gets what comes before the place, too.
    fn filled<'v>(
        &self,
        mut value: impl FnMut(&str, &Place) -> Option<Cow<'v, str>>,
    ) -> Result<String, FillError> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Place(place) => {
                    let value = value(&filled, place);
                    let value = value.ok_or_else(|| FillError::Missing(place.clone()))?;
                    filled.push_str(&value);
                }
            }
        }
        Ok(filled)
    }
}

impl Place {
    /// The text or number at its pointer in a JSON text; `None` for a name, and when there is none.
    #[must_use]
    pub fn value<'j>(&self, json: &'j str) -> Option<Cow<'j, str>> {
        match self {
            Place::Name(_) => None,
            Place::Value(pointer) => pointer.value(json).ok()?.and_then(scalar_text),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Name(name) => f.write_str(name),
            Place::Value(pointer) => pointer.fmt(f),
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Unclosed => f.write_str("has a `{` without a `}`"),
            TemplateError::Unknown { name, known } => {
                write!(f, "`{{{name}}}` is neither ")?;
                for known in known {
                    write!(f, "`{{{known}}}` nor ")?;
                }
                f.write_str("a JSON pointer such as `{/account/id}`")
            }
            TemplateError::Pointer(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FillError::Missing(place) => write!(f, "there is no text or number at {place}"),
            FillError::Elsewhere(path) => write!(f, "`{path}` would be another path"),
        }
    }
}

impl std::error::Error for TemplateError {}
impl std::error::Error for FillError {}

#[cfg(test)]
mod tests {
    use super::{FillError, Place, Template, TemplateError};

    const RECORD: &str = r#"{"n":1.50,"t":"a b/ü?","e":"","up":"..","b":true,"o":{"~":"x"}}"#;

    fn template(text: &str) -> Template {
        Template::parse(text, &["id", "config.x"]).unwrap()
    }

    fn filled(text: &str, id: &str) -> Result<String, FillError> {
        template(text).fill_path(|place| match place {
            Place::Name(name) if name == "id" => Some(id.to_owned().into()),
            Place::Name(_) => None,
            Place::Value(_) => place.value(RECORD),
        })
    }

    #[test]
    fn paths() {
        for (text, id, expected) in [
            ("/a", "", "/a"),
            ("", "", ""),
            ("{id}{id}", "x", "xx"),
            (
                "/a/{id}?q={/t}#{/n}",
                "x/y",
                "/a/x%2Fy?q=a%20b%2F%C3%BC%3F#1.50",
            ),
            ("/a/{/o/~0}", "", "/a/x"),
            // Dots are fine beside other characters, and after the path.
            ("/a/{id}", "...", "/a/..."),
            ("/a/.{id}", "x", "/a/.x"),
            ("/a?b={id}/..", "x", "/a?b=x/.."),
            // So is an empty value.
            ("/a?b={id}&c={/e}", "", "/a?b=&c="),
            // Encoded dots and slashes are a name like any other.
            ("/a/{id}", "%2e%2e", "/a/%252e%252e"),
            ("/a/{id}", "../x", "/a/..%2Fx"),
        ] {
            assert_eq!(filled(text, id).as_deref(), Ok(expected), "{text} {id}");
        }
    }

    #[test]
    fn what_leads_elsewhere_or_is_missing() {
        for (text, id) in [
            ("/a/{id}", ".."),
            ("/a/{id}/b", "."),
            ("/a/{/up}?x=1", ""),
            ("/a/.{id}", "."),
            ("https://h/{id}", ".."),
        ] {
            let refused = matches!(filled(text, id), Err(FillError::Elsewhere(_)));
            assert!(refused, "{text} {id}");
        }
        for (text, missing) in [
            ("/a/{/x}", "/x"),
            ("/a/{/b}", "/b"),
            ("/a/{/o}", "/o"),
            ("/a/{/e}", "/e"),
            ("/a/{/e}?x={/t}", "/e"),
            ("/a/{id}", "id"),
            ("/a/{config.x}", "config.x"),
        ] {
            let problem = filled(text, "").unwrap_err();
            let expected = format!("there is no text or number at {missing}");
            assert_eq!(problem.to_string(), expected, "{text}");
        }
        let quoted = template("\"{/t}{/e}\"").fill(|place| place.value(RECORD));
        assert_eq!(quoted.as_deref(), Ok("\"a b/ü?\""));
    }

    #[test]
    fn what_it_has() {
        let one = template("/a/{config.x}/{/b}");
        assert!(one.has("config.x") && !one.has("id") && !one.is_constant());
        let places: Vec<String> = one.places().map(Place::to_string).collect();
        assert_eq!(places, ["config.x", "/b"]);
        assert!(template("/a}").is_constant());
    }

    #[test]
    fn no_templates() {
        for (text, expected) in [
            ("/a/{id", "has a `{` without a `}`"),
            ("/a/{", "has a `{` without a `}`"),
            (
                "/a/{ID}",
                "`{ID}` is neither `{id}` nor a JSON pointer such as `{/account/id}`",
            ),
            (
                "/a/{}",
                "`{}` is neither `{id}` nor a JSON pointer such as `{/account/id}`",
            ),
            (
                "/a/{{id}}",
                "`{{id}` is neither `{id}` nor a JSON pointer such as `{/account/id}`",
            ),
            (
                "/a/{/b~c}",
                "`/b~c` is no JSON pointer; it is empty, or begins with `/`, like `/data/id`",
            ),
        ] {
            let problem = Template::parse(text, &["id"]).unwrap_err();
            assert_eq!(problem.to_string(), expected, "{text}");
        }
        let none = Template::parse("{id}", &[]).unwrap_err();
        assert!(matches!(none, TemplateError::Unknown { known, .. } if known.is_empty()));
    }
}
