//! Where the page after this one is, and how sure it is that there is none.
//!
//! What an API says of the list (a total, a flag) counts more than the length of a page: a short
//! page may only be one of which the API hides some records, so one more is asked for. What ends a
//! list against what the API says of it is a *doubt*: the pull is not whole then.

use tidegate_sdk::Response;
use tidegate_sdk::prelude::*;

use super::{Body, CursorFrom, Kind, Paging, Place, cursor_of, header, said};

/// So many empty pages in a row end a list that should go on.
const EMPTY_PAGES_MAX: u32 = 3;

/// What has been counted in this reading of the list: part of the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counted {
    pub(crate) records: u64,
    pages: u64,
    /// How many records a page has that is not the last: learnt, as servers cap the page size lower
    /// than asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<u64>,
    /// How many there are, as the API said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    /// There were records beyond what the API called the total.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) refuted: bool,
    /// The next page is asked for only to make sure that there is none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) probes: bool,
    /// Empty pages in a row.
    #[serde(skip_serializing_if = "is_zero")]
    empty: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Counted {
    pub(crate) fn is_of_several_pages(&self) -> bool {
        self.pages > 1
    }
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next(Place),
    /// The list ends, and what speaks against it.
    End(Option<String>),
}

/// What the API says about going on.
enum ApiContinuation {
    More,
    /// By a total, which may be none.
    Reached,
    NoMore,
    Nothing,
}

impl Paging {
    /// Where the page after the one at `place` is.
    pub(crate) fn next(
        &self,
        place: &Place,
        response: &Response,
        body: &Body<'_>,
        counted: &mut Counted,
    ) -> Result<Step> {
        let records = body.records.as_deref().unwrap_or_default();
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        counted.records = counted.records.saturating_add(count);
        counted.pages += 1;
        counted.empty = if count == 0 { counted.empty + 1 } else { 0 };
        let probed = std::mem::take(&mut counted.probes);
        let step = match &self.kind {
            Kind::Page { first, .. } => {
                let number = match place {
                    Place::Page(number) => *number,
                    _ => *first,
                };
                let read = number.saturating_sub(*first).saturating_add(1);
                let pages = body.pages.map(|pages| (read, pages));
                let total = pages.or(body.total.map(|total| (counted.records, total)));
                let says = self.says(body, total, probed, counted);
                let next = Place::Page(number.saturating_add(1));
                self.counted(says, next, count, body, counted)
            }
            Kind::Offset { first, .. } => {
                let offset = match place {
                    Place::Offset(offset) => *offset,
                    _ => *first,
                };
                let next = offset.saturating_add(count);
                let read = next.saturating_sub(*first);
                let says = self.says(body, body.total.map(|total| (read, total)), probed, counted);
                if count == 0 {
                    // There is no further place to ask for.
                    let short = matches!(says, ApiContinuation::More);
                    return Ok(Step::End(short.then(|| self.against(body, counted))));
                }
                self.counted(says, Place::Offset(next), count, body, counted)
            }
            Kind::None => Step::End(self.links_on(response)),
            Kind::Cursor { .. } | Kind::Link | Kind::NextUrl { .. } => {
                let step = self.named(place, response, body, counted)?;
                counted.probes = self.may_be_the_end(&step);
                step
            }
        };
        counted.full = Some(counted.full.unwrap_or(0).max(count));
        Ok(step)
    }

    /// What the API says, with the places that were read and that there are, by its total.
    fn says(
        &self,
        body: &Body<'_>,
        total: Option<(u64, u64)>,
        probed: bool,
        counted: &mut Counted,
    ) -> ApiContinuation {
        let any = body.records.as_ref().is_some_and(|r| !r.is_empty());
        let is_wrong = |(read, total): (u64, u64)| any && (total == 0 || (probed && read > total));
        if total.is_some_and(is_wrong) && !counted.refuted {
            counted.refuted = true;
            warn!(
                "{} is not how much there is: there are records beyond it; going on until a page \
                 is empty",
                if body.pages.is_some() {
                    "`total_pages_pointer`"
                } else {
                    "`total_pointer`"
                }
            );
        }
        let total = total.filter(|_| !counted.refuted);
        match (body.more, total) {
            (_, Some((read, total))) if read < total => ApiContinuation::More,
            (Some(true), _) => ApiContinuation::More,
            (Some(false), _) => ApiContinuation::NoMore,
            (None, Some(_)) => ApiContinuation::Reached,
            (None, None) => ApiContinuation::Nothing,
        }
    }

    /// The step of a style that counts.
    fn counted(
        &self,
        says: ApiContinuation,
        next: Place,
        count: u64,
        body: &Body<'_>,
        counted: &mut Counted,
    ) -> Step {
        match says {
            ApiContinuation::More if counted.empty >= EMPTY_PAGES_MAX => {
                Step::End(Some(self.against(body, counted)))
            }
            ApiContinuation::More => Step::Next(next),
            ApiContinuation::NoMore => Step::End(None),
            ApiContinuation::Reached | ApiContinuation::Nothing if count == 0 => Step::End(None),
            ApiContinuation::Reached if !self.is_full(count, counted) => Step::End(None),
            ApiContinuation::Reached => {
                counted.probes = true;
                Step::Next(next)
            }
            ApiContinuation::Nothing => {
                counted.probes = counted.full.is_some_and(|full| count < full)
                    || self
                        .size
                        .is_some_and(|size| count < size && counted.pages == 1);
                Step::Next(next)
            }
        }
    }

    /// Whether a page is as long as pages are that have another one after them.
    fn is_full(&self, count: u64, counted: &Counted) -> bool {
        let learnt = counted.full.is_some_and(|full| count >= full);
        learnt || self.size.is_none_or(|size| count >= size)
    }

    /// The step of a style whose answers name the next page.
    fn named(
        &self,
        place: &Place,
        response: &Response,
        body: &Body<'_>,
        counted: &Counted,
    ) -> Result<Step> {
        let ends = |text: &String| self.end_values.iter().flatten().any(|end| end == text);
        let next = match &self.kind {
            Kind::Cursor { from, .. } => match from {
                CursorFrom::Body => said::token(&body.next)?.filter(|text| !ends(text)),
                CursorFrom::Header(name) => header(response, name)
                    .map(str::to_owned)
                    .filter(|text| !ends(text)),
                CursorFrom::LastRecord(pointer) => {
                    let records = body.records.as_deref().unwrap_or_default();
                    let last = records.last();
                    last.map(|last| cursor_of(last, pointer)).transpose()?
                }
            }
            .map(Place::Cursor),
            Kind::Link => response.link("next").map(Place::Url),
            Kind::NextUrl { header: Some(name) } => {
                header(response, name).map(|url| Place::Url(response.resolve(url)))
            }
            _ => said::token(&body.next)?
                .filter(|text| !ends(text))
                .map(|url| Place::Url(response.resolve(&url))),
        };
        // A page that names itself is how some APIs end.
        let own = Place::Url(response.url().to_owned());
        let itself = |next: &Place| next == place || *next == own;
        let names_itself = next.as_ref().is_some_and(itself);
        let next = next.filter(|next| !itself(next));
        Ok(match (body.more, next) {
            (Some(false), _) => Step::End(None),
            (_, Some(next)) => Step::Next(next),
            (Some(true), None) => Step::End(Some(self.against(body, counted))),
            (None, None) if names_itself => Step::End(self.may_be_a_session(place, body)),
            (None, None) => Step::End(None),
        })
    }

    /// Whether the next place is what many APIs have for none, and nobody has said: then it is asked for
    /// only to see what it is. Taking it for the end would cut a list of which it is a cursor.
    fn may_be_the_end(&self, step: &Step) -> bool {
        let Step::Next(Place::Cursor(cursor)) = step else {
            return false;
        };
        self.end_values.is_none() && matches!(cursor.as_str(), "0" | "-1")
    }

    /// Why a list that ends here should not.
    fn against(&self, body: &Body<'_>, counted: &Counted) -> String {
        let records = counted.records;
        match (body.pages, body.total) {
            (Some(pages), _) => {
                format!("the list ended after {records} records, short of its {pages} pages")
            }
            (_, Some(total)) => format!("the list ended after {records} records of {total}"),
            _ => {
                format!("the list ended after {records} records, though it says that there is more")
            }
        }
    }

    /// Why a page that names itself as the next one may not be the last: its cursor may be the name of
    /// a session, which stays while what it brings moves on. A URL and a record's value are not, and a
    /// total says more.
    fn may_be_a_session(&self, place: &Place, body: &Body<'_>) -> Option<String> {
        let of_record = matches!(
            self.kind,
            Kind::Cursor {
                from: CursorFrom::LastRecord(_),
                ..
            }
        );
        let any = body.records.as_ref().is_some_and(|r| !r.is_empty());
        match place {
            Place::Cursor(cursor) if any && !of_record && body.total.is_none() => Some(format!(
                "the list was taken to end at the cursor {cursor:?}, whose page names it as the \
                 next one (`more_pointer` or `total_pointer` would tell)"
            )),
            _ => None,
        }
    }

    /// A list of one page that links on to another.
    fn links_on(&self, response: &Response) -> Option<String> {
        response.link("next").map(|url| {
            format!("`pagination` is missing, and the answer has a link to the next page, {url}")
        })
    }
}
