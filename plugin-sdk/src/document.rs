//! A JSON text that is looked into by JSON pointer (RFC 6901) without decoding all of it.
//!
//! The first look finds where each member of the top-level object lies; what is asked for later
//! is decoded from its own slice. So a page of records is scanned once and decoded once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Pointer;
use crate::pointer::split;

/// A JSON text and the members of its top-level object.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    /// Empty when the top level is no object.
    members: Vec<(String, Range<usize>)>,
}

impl Document {
    /// Fails with the text itself when it is not JSON.
    pub(crate) fn parse(text: String) -> Result<Self, (serde_json::Error, String)> {
        match members(&text) {
            Ok(members) => Ok(Document { text, members }),
            Err(error) => Err((error, text)),
        }
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The JSON text at a pointer: `/items`, `/data/0/id`, or the empty pointer for the whole.
    pub(crate) fn at(&self, pointer: &str) -> Option<&str> {
        if pointer.is_empty() {
            return Some(self.text.trim());
        }
        let (first, rest) = split(pointer)?;
        let mut found = if self.members.is_empty() {
            member(&self.text, &first)?
        } else {
            // As everywhere in serde_json, the last of two members with the same name counts.
            let named = |(name, _): &&(String, Range<usize>)| *name == first;
            let (_, range) = self.members.iter().rev().find(named)?;
            self.text.get(range.clone())?
        };
        let mut rest = rest;
        while let Some((segment, next)) = split(rest) {
            found = member(found, &segment)?;
            rest = next;
        }
        Some(found)
    }
}

/// The members of a JSON object, in their order; `None` for what is none.
pub(crate) fn top_level(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    if !json.trim_start().starts_with('{') {
        return None;
    }
    let Members(found) = serde_json::from_str(json).ok()?;
    let texts = found.into_iter().map(|(name, raw)| (name, raw.get()));
    Some(texts.collect())
}

/// The JSON text at a pointer, for who looks into a text once.
pub(crate) fn at<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    let (mut found, mut rest) = (json.trim(), pointer);
    while let Some((segment, next)) = split(rest) {
        found = member(found, &segment)?;
        rest = next;
    }
    // What is left of it is no pointer.
    rest.is_empty().then_some(found)
}

/// Where the members of the top-level object lie.
fn members(text: &str) -> serde_json::Result<Vec<(String, Range<usize>)>> {
    if !text.trim_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text)?;
        return Ok(Vec::new());
    }
    let Members(found) = serde_json::from_str(text)?;
    let start = text.as_ptr().addr();
    let place = |raw: &RawValue| {
        let at = raw.get().as_ptr().addr() - start;
        at..at + raw.get().len()
    };
    Ok(found
        .into_iter()
        .map(|(name, raw)| (name.into_owned(), place(raw)))
        .collect())
}

/// The value of one member of an object, or of one element of an array.
fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    if json.trim_start().starts_with('[') {
        let position = Pointer::index(name)?;
        let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        return elements.get(position).map(|element| element.get());
    }
    let Members(members) = serde_json::from_str(json).ok()?;
    let named = members.iter().rev().find(|(found, _)| found == name)?;
    Some(named.1.get())
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::Document;

    #[test]
    fn pointers() {
        let text =
            r#" {"items":[{"id":1},{"id":[7]}],"a/b":{"~":null},"next":"c2","":0,"next":"c3"} "#;
        let document = Document::parse(text.to_owned()).unwrap();
        for (pointer, expected) in [
            ("", Some(text.trim())),
            ("/items", Some(r#"[{"id":1},{"id":[7]}]"#)),
            ("/items/1/id/0", Some("7")),
            ("/items/01", None),
            ("/a~2b", None),
            ("/items/2", None),
            ("/items/-", None),
            ("/items/0/id/deeper", None),
            ("/a~1b/~0", Some("null")),
            ("/next", Some(r#""c3""#)),
            ("/", Some("0")),
            ("/nothing", None),
            ("next", None),
        ] {
            assert_eq!(document.at(pointer), expected, "{pointer}");
            assert_eq!(super::at(text, pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn other_top_levels() {
        let array = Document::parse("[[1],{\"a\":2}]".to_owned()).unwrap();
        assert_eq!(array.at("/1/a"), Some("2"));
        assert_eq!(array.at(""), Some("[[1],{\"a\":2}]"));
        let number = Document::parse("7".to_owned()).unwrap();
        assert_eq!(number.at("/a"), None);
    }

    #[test]
    fn not_json() {
        for text in ["", "<html>", "{\"a\":", "[1,]", "{} {}", "[] x"] {
            assert!(Document::parse(text.to_owned()).is_err(), "{text}");
        }
    }
}
