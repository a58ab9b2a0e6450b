//! The pagination styles: which request asks for a page, and where the next one is.

mod build;

use std::borrow::Cow;

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{RequestBuilder, Response};

use crate::find::{Finder, Found};
use crate::pointer::{Pointer, scalar};
use crate::url::{next_link, resolve};

/// How pages are handed out.
#[derive(Debug)]
pub(crate) struct Paging {
    kind: Kind,
    /// What to look for in the body besides the records.
    envelope: Envelope,
    size: Option<u64>,
    size_parameter: Option<String>,
    end_statuses: Vec<u16>,
}

#[derive(Debug)]
enum Kind {
    None,
    Cursor { parameter: String, from: CursorFrom },
    Page { parameter: String, first: u64 },
    Offset { parameter: String, first: u64 },
    Link,
    NextUrl { header: Option<String> },
}

#[derive(Debug)]
enum CursorFrom {
    Body,
    Header(String),
    LastRecord(Pointer),
}

/// Which of the envelope's pointers is what.
#[derive(Debug)]
struct Envelope {
    finder: Finder,
    next: Option<usize>,
    more: Option<usize>,
    total: Option<usize>,
}

/// The records are always the first of the envelope's pointers.
const RECORDS: usize = 0;

/// Where a page is. In a checkpoint it is for example `{"cursor":"c2"}` or `{"page":3}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    Start,
    Cursor(String),
    Page(u64),
    Offset(u64),
    Url(String),
    /// After the last page: a full pull that has only its deletions left to do.
    End,
}

/// What a page says besides its records.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    /// `None` when there is nothing at the place of the records.
    pub(crate) records: Option<Vec<&'a RawValue>>,
    next: Found<'a>,
    more: Option<bool>,
    total: Option<u64>,
}

impl Paging {
    /// Whether a stored place is one of this style.
    pub(crate) fn fits(&self, place: &Place) -> bool {
        matches!(
            (&self.kind, place),
            (_, Place::Start | Place::End)
                | (Kind::Cursor { .. }, Place::Cursor(_))
                | (Kind::Page { .. }, Place::Page(_))
                | (Kind::Offset { .. }, Place::Offset(_))
                | (Kind::Link | Kind::NextUrl { .. }, Place::Url(_))
        )
    }

    /// The request for the page at `place`. `base` is the one for the list, with its parameters;
    /// a URL that the server gave has them already.
    pub(crate) fn request(
        &self,
        cx: &Cx,
        place: &Place,
        base: impl FnOnce() -> RequestBuilder,
    ) -> RequestBuilder {
        if let Place::Url(url) = place {
            return cx.get(url);
        }
        let mut request = base();
        if let (Some(parameter), Some(size)) = (&self.size_parameter, self.size) {
            request = request.query(parameter, size);
        }
        match (&self.kind, place) {
            (Kind::Cursor { parameter, .. }, Place::Cursor(cursor)) => {
                request.query(parameter, cursor)
            }
            (Kind::Page { parameter, .. }, Place::Page(number)) => request.query(parameter, number),
            (Kind::Page { parameter, first }, _) => request.query(parameter, first),
            (Kind::Offset { parameter, .. }, Place::Offset(offset)) => {
                request.query(parameter, offset)
            }
            (Kind::Offset { parameter, first }, _) => request.query(parameter, first),
            _ => request,
        }
    }

    /// Whether this status is how the API answers beyond the last page.
    pub(crate) fn is_end(&self, place: &Place, status: u16) -> bool {
        *place != Place::Start && self.end_statuses.contains(&status)
    }

    /// Take a body apart. The whole text is scanned once.
    pub(crate) fn read<'a>(&self, text: &'a str) -> serde_json::Result<Body<'a>> {
        let envelope = &self.envelope;
        let mut found = vec![Found::Nothing; envelope.finder.len()];
        envelope.finder.find(text, &mut found)?;
        let records = match found.get_mut(RECORDS).map(std::mem::take) {
            Some(Found::List(records)) => Some(records),
            _ => None,
        };
        let mut take = |index: Option<usize>| {
            let slot = index.and_then(|index| found.get_mut(index));
            slot.map(std::mem::take).unwrap_or_default()
        };
        Ok(Body {
            records,
            next: take(envelope.next),
            more: take(envelope.more)
                .value()
                .and_then(|raw| raw.get().parse().ok()),
            total: take(envelope.total)
                .value()
                .and_then(|raw| scalar(raw)?.parse().ok()),
        })
    }

    /// Where the page after this one is; `None` after the last.
    ///
    /// `full` is how many records a page has that is not the last: it is learnt from the first
    /// page of a run, as servers cap the page size lower than asked.
    pub(crate) fn next(
        &self,
        place: &Place,
        response: &Response,
        body: &Body<'_>,
        full: &mut Option<u64>,
    ) -> Result<Option<Place>> {
        if body.more == Some(false) {
            return Ok(None);
        }
        let records = body.records.as_deref().unwrap_or_default();
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let resolved = |url: &str| Place::Url(resolve(response.url(), url));
        Ok(match &self.kind {
            Kind::None => None,
            Kind::Cursor { from, .. } => match from {
                CursorFrom::Body => token(&body.next)?.map(Place::Cursor),
                CursorFrom::Header(name) => {
                    header(response, name).map(|h| Place::Cursor(h.to_owned()))
                }
                CursorFrom::LastRecord(pointer) => match records.last() {
                    Some(last) => Some(Place::Cursor(cursor_of(last, pointer)?)),
                    None => None,
                },
            },
            Kind::Page { first, .. } => {
                let number = match place {
                    Place::Page(number) => *number,
                    _ => *first,
                };
                let ends = body.total.is_some_and(|pages| number + 1 - first >= pages);
                let goes_on = !ends && self.goes_on(count, body, full);
                goes_on.then_some(Place::Page(number + 1))
            }
            Kind::Offset { first, .. } => {
                let offset = match place {
                    Place::Offset(offset) => *offset,
                    _ => *first,
                };
                let next = offset.saturating_add(count);
                let ends = count == 0 || body.total.is_some_and(|total| next - first >= total);
                let goes_on = !ends && self.goes_on(count, body, full);
                goes_on.then_some(Place::Offset(next))
            }
            Kind::Link => response
                .headers()
                .filter(|(name, _)| name.eq_ignore_ascii_case("link"))
                .find_map(|(_, value)| next_link(value))
                .map(resolved),
            Kind::NextUrl { header: Some(name) } => header(response, name).map(resolved),
            Kind::NextUrl { header: None } => token(&body.next)?.map(|url| resolved(&url)),
        })
    }

    /// Whether a page of so many records has another one after it, as far as counting can tell.
    fn goes_on(&self, count: u64, body: &Body<'_>, full: &mut Option<u64>) -> bool {
        if body.more == Some(true) {
            return true;
        }
        if count == 0 {
            return false;
        }
        let Some(size) = self.size else {
            return true;
        };
        match *full {
            Some(full) => count >= full,
            None => {
                *full = Some(count.min(size));
                true
            }
        }
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.header(name).filter(|value| !value.is_empty())
}

/// A cursor or a URL of the body; `None` for what means that there is no more.
fn token(found: &Found<'_>) -> Result<Option<String>> {
    let Some(raw) = found.value().filter(|raw| raw.get() != "false") else {
        return Ok(None);
    };
    match scalar(raw) {
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => Ok(Some(text.into_owned())),
        None => Err(Failure::other(format!(
            "what should be the next page's cursor or URL is {}",
            raw.get().chars().take(80).collect::<String>()
        ))
        .code("response-invalid")),
    }
}

fn cursor_of(record: &RawValue, pointer: &Pointer) -> Result<String> {
    let cursor = pointer.value(record.get())?.and_then(scalar);
    cursor.map(Cow::into_owned).ok_or_else(|| {
        Failure::other(format!(
            "the last record of the page has no text or number at {pointer}, which should be the \
             next page's cursor"
        ))
        .code("response-invalid")
    })
}
