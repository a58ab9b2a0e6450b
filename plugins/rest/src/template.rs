//! Texts with places for a record's id and values: `/contacts/{id}/notes/{/note/id}`.

use tidegate_sdk::prelude::*;

use crate::plan::Key;
use crate::pointer::{Pointer, scalar};

/// A text with places.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    /// `{id}`
    Id,
    /// `{/account/id}`
    Value(Pointer),
}

impl Template {
    pub(crate) fn new(text: &str, key: &Key) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((text, after)) = rest.split_once('{') {
            let Some((name, next)) = after.split_once('}') else {
                return Err(key.wrong("has a `{` without a `}`"));
            };
            parts.push(Part::Text(text.to_owned()));
            parts.push(match name {
                "id" => Part::Id,
                pointer if pointer.starts_with('/') => Part::Value(key.pointer(pointer)?),
                other => {
                    return Err(key.wrong(format!(
                        "`{{{other}}}` is neither `{{id}}` nor a JSON pointer such as `{{/account/id}}`"
                    )));
                }
            });
            rest = next;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }

    /// Whether it has no places.
    pub(crate) fn is_constant(&self) -> bool {
        !self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// Whether it has a place for the id.
    pub(crate) fn has_id(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Id))
    }

    /// The text with the id, and the values of the JSON text `values`, each written by `write`.
    /// `missing` makes the failure for a value that is no text or number.
    pub(crate) fn fill(
        &self,
        id: Option<&str>,
        values: &str,
        write: impl Fn(&str) -> String,
        missing: impl Fn(&Pointer) -> Failure,
    ) -> Result<String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Id => filled.push_str(&write(id.unwrap_or_default())),
                Part::Value(pointer) => {
                    let raw = pointer.value(values)?;
                    let value = raw.and_then(scalar).ok_or_else(|| missing(pointer))?;
                    filled.push_str(&write(&value));
                }
            }
        }
        Ok(filled)
    }
}
