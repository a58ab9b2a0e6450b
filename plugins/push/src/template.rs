//! Paths with places for a record's id and values: `/contacts/{id}/notes/{/note/id}`.

use jaq_json::Val;
use tidegate_sdk::encode;
use tidegate_sdk::prelude::*;

use crate::jq;
use crate::plan::Key;

/// A path with places.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    /// `{id}`
    Id,
    /// `{/account/id}`: a JSON pointer, and its segments.
    Value(String, Vec<String>),
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
            parts.push(match (name, name.strip_prefix('/')) {
                ("id", _) => Part::Id,
                (_, Some(segments)) => {
                    let segments = segments.split('/').map(unescaped).collect();
                    Part::Value(name.to_owned(), segments)
                }
                (_, None) => {
                    return Err(key.wrong(format!(
                        "`{{{name}}}` is neither `{{id}}` nor a JSON pointer such as `{{/account/id}}`"
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
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The path of a record. `Err` says which value is missing, or would lead elsewhere.
    pub(crate) fn fill(&self, id: &str, record: &Val) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Id => filled.push_str(&encode(id)),
                Part::Value(pointer, segments) => match scalar(record, segments) {
                    Some(value) if !value.is_empty() => filled.push_str(&encode(&value)),
                    _ => {
                        return Err(format!(
                            "there is no text or number at {pointer}, which the path needs"
                        ));
                    }
                },
            }
        }
        let path = filled.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(format!("`{filled}` would be another path"));
        }
        Ok(filled)
    }
}

fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn scalar(record: &Val, segments: &[String]) -> Option<String> {
    let mut value = record;
    for segment in segments {
        value = match value {
            Val::Obj(members) => members.get(&Val::from(segment.clone()))?,
            Val::Arr(items) => items.get(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match value {
        Val::Num(number) => Some(jq::digits(number)),
        Val::TStr(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        _ => None,
    }
}
