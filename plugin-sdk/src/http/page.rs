//! One page of a paginated request: its items, and other values of its body.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::paginate::Position;
use super::response::{DecodeError, Response};
use crate::document::Document;
use crate::{Failure, Result};

/// One page. Its body is scanned once when it arrives; items are decoded when asked for.
#[derive(Debug)]
pub struct HttpPage {
    /// Without its body, which is in `document`.
    response: Response,
    document: Document,
    items: String,
    position: Option<Position>,
    pub(super) next: Option<Position>,
}

impl HttpPage {
    pub(super) fn new(
        response: Response,
        items: String,
        position: Option<Position>,
    ) -> Result<Self> {
        let (response, text) = response.into_text()?;
        let document = Document::parse(text).or_else(|(error, text)| match crate::mended(&text) {
            Some(mended) => Document::parse(mended),
            None => Err((error, text)),
        });
        let document = document.map_err(|(error, text)| {
            DecodeError::of(&error).failure(&response.name(), response.status(), &text)
        })?;
        Ok(HttpPage {
            response,
            document,
            items,
            position,
            next: None,
        })
    }

    /// The page's items, decoded: all of them, or a failure. For records use
    /// [`Commit::items`](crate::Commit::items), which skips those of another shape and goes on. A null in
    /// their place is an empty page.
    pub fn items<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let json = self.items_json()?;
        let decoded = serde_json::from_str::<Option<Vec<T>>>(json);
        let decoded = decoded.or_else(|error| match crate::mended(json) {
            Some(mended) => serde_json::from_str(&mended),
            None => Err(error),
        });
        match decoded {
            Ok(items) => Ok(items.unwrap_or_default()),
            Err(error) => Err(self.item_failure::<T>(&error)),
        }
    }

    /// The page's items as JSON text, for plugins that store what they got.
    pub fn raw_items(&self) -> Result<Vec<&RawValue>> {
        serde_json::from_str::<Option<Vec<&RawValue>>>(self.items_json()?)
            .map(Option::unwrap_or_default)
            .map_err(|error| self.shape_failure(&self.items, &error.to_string()))
    }

    /// The value at a JSON pointer of the body; `None` when it is missing or null.
    pub fn at<'a, T: Deserialize<'a>>(&'a self, pointer: &str) -> Result<Option<T>> {
        let Some(json) = self.document.at(pointer) else {
            return Ok(None);
        };
        serde_json::from_str(json).map_err(|error| self.shape_failure(pointer, &error.to_string()))
    }

    /// Where this page is; `None` for the first one of a pull from the start.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Where the next page is; `None` on the last one. This is what a checkpoint keeps with the
    /// records of this page.
    #[must_use]
    pub fn next_position(&self) -> Option<&Position> {
        self.next.as_ref()
    }

    /// Status, headers and URL. (The body is in the page: [`text`](Self::text).)
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The body.
    #[must_use]
    pub fn text(&self) -> &str {
        self.document.text()
    }

    /// The text of a cursor or URL at a pointer; `None` for what means that there is no more.
    pub(super) fn token(&self, pointer: &str) -> Result<Option<String>> {
        let json = self.document.at(pointer).unwrap_or("null");
        match json.as_bytes().first() {
            Some(b'"') => Ok(self.at::<String>(pointer)?.filter(|text| !text.is_empty())),
            Some(b'-' | b'0'..=b'9') => Ok(Some(json.to_owned())),
            _ if json == "null" || json == "false" => Ok(None),
            _ => Err(self.shape_failure(pointer, "expected a text, a number or null")),
        }
    }

    /// Whether there is anything at a pointer, be it null.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.document.at(pointer).is_some()
    }

    /// What tells this page's items from another's.
    pub(super) fn items_text(&self) -> &str {
        self.document.at(&self.items).unwrap_or_default()
    }

    fn items_json(&self) -> Result<&str> {
        self.document
            .at(&self.items)
            .ok_or_else(|| self.shape_failure(&self.items, "there is nothing at this place"))
    }

    /// Which item could not be decoded: looked for only when one could not.
    fn item_failure<T: DeserializeOwned>(&self, error: &serde_json::Error) -> Failure {
        for (index, item) in self.raw_items().unwrap_or_default().into_iter().enumerate() {
            if let Err(error) = serde_json::from_str::<T>(item.get()) {
                let item = crate::text::excerpt(item.get(), 160);
                return self.item_failure_at(index, &format!("{error} of {item}"));
            }
        }
        self.shape_failure(&self.items, &error.to_string())
    }

    /// The failure for the item at this position.
    pub(crate) fn item_failure_at(&self, position: usize, problem: &str) -> Failure {
        self.shape_failure(&format!("{}/{position}", self.items), problem)
    }

    fn shape_failure(&self, pointer: &str, problem: &str) -> Failure {
        let place = if pointer.is_empty() {
            problem.to_owned()
        } else {
            format!("at {pointer}: {problem}")
        };
        DecodeError::shape(place).failure(
            &self.response.name(),
            self.response.status(),
            self.document.text(),
        )
    }
}
