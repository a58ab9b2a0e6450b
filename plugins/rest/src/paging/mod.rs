//! The pagination styles: which request asks for a page, and what its answer says of the list.

mod build;
mod next;
mod said;

use std::borrow::Cow;

use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Finder, Found, Pointer, RequestBuilder, Response, scalar_text};

pub(crate) use next::{Counted, Step};

/// How pages are handed out.
#[derive(Debug)]
pub(crate) struct Paging {
    kind: Kind,
    /// What to look for in the body besides the records.
    envelope: Envelope,
    size: Option<u64>,
    size_parameter: Option<String>,
    end_statuses: Vec<u16>,
    /// What a cursor says that there is no more.
    end_values: Option<Vec<String>>,
    is_stable: bool,
    key: ConfigPath,
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
    pages: Option<usize>,
    total: Option<usize>,
    /// Members by which an answer says that it failed.
    signs: std::ops::Range<usize>,
}

/// How APIs answer a page number beyond the last one.
const BEYOND: [u16; 5] = [400, 404, 410, 416, 422];
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
    /// How many pages there are, and how many records, as the API says.
    pages: Option<u64>,
    pub(crate) total: Option<u64>,
    /// Something in it may mean that it failed.
    pub(crate) is_suspect: bool,
    /// What the config points at, and is there.
    pub(crate) there: PointersSeen,
}

/// Which of the config's pointers into an answer lead to something, be it null.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PointersSeen {
    pub(crate) records: bool,
    pub(crate) next: bool,
    pub(crate) more: bool,
    /// These lead to a count.
    pub(crate) pages: bool,
    pub(crate) total: bool,
}

impl Paging {
    /// Whether places are numbers, so that what comes after a record that goes moves to another one.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.kind, Kind::Page { .. } | Kind::Offset { .. })
    }

    /// Whether no record jumps back in the list, as the config says.
    pub(crate) fn is_stable(&self) -> bool {
        self.is_stable
    }

    /// How many records a page has, as the config says.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

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
    pub(crate) fn is_end(&self, place: &Place, status: u16, counted: &Counted) -> bool {
        let beyond = counted.probes && BEYOND.contains(&status);
        *place != Place::Start && (beyond || self.end_statuses.contains(&status))
    }

    /// Take a body apart. The whole text is scanned once.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Result<Body<'a>> {
        let envelope = &self.envelope;
        let mut found = vec![Found::Nothing; envelope.finder.len()];
        envelope.finder.find(text, &mut found)?;
        let any = |index: usize| !matches!(found.get(index), None | Some(Found::Nothing));
        let there = PointersSeen {
            records: any(RECORDS),
            next: envelope.next.is_some_and(any),
            more: envelope.more.is_some_and(any),
            ..PointersSeen::default()
        };
        let records = match found.get_mut(RECORDS).map(std::mem::take) {
            Some(Found::List(records)) => Some(records),
            _ => None,
        };
        let signs = found.get(envelope.signs.clone()).unwrap_or_default();
        let is_suspect = said::is_suspect(signs);
        let mut take = |index: Option<usize>| {
            let slot = index.and_then(|index| found.get_mut(index));
            slot.map(std::mem::take).unwrap_or_default()
        };
        let next = take(envelope.next);
        let more = said::flag(&take(envelope.more), &self.key.at("more_pointer"))?;
        let pages = said::count(&take(envelope.pages));
        let total = said::count(&take(envelope.total));
        Ok(Body {
            records,
            next,
            more,
            pages,
            total,
            is_suspect,
            there: PointersSeen {
                pages: pages.is_some(),
                total: total.is_some(),
                ..there
            },
        })
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.header(name).filter(|value| !value.is_empty())
}

fn cursor_of(record: &RawValue, pointer: &Pointer) -> Result<String> {
    let cursor = pointer.value(record.get())?.and_then(scalar_text);
    cursor.map(Cow::into_owned).ok_or_else(|| {
        Failure::other(format!(
            "the last record of the page has no text or number at {pointer}, which should be the \
             next page's cursor"
        ))
        .code("response-invalid")
    })
}
