//! Following pages: the five common styles, with the position to checkpoint.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::page::HttpPage;
use super::request::RequestBuilder;
use super::sizes::PageSizes;
use crate::{Failure, Result, warn};

/// More pages than this are taken for a loop.
const PAGES_MAX: u64 = 100_000;
/// The items of so many pages are counted, to compare them with the size that was asked for.
const SIZED_PAGES: u64 = 3;

/// How an API hands out its pages.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// # async fn contacts(cx: Cx) -> Result<()> {
/// let style = Paginate::cursor("/next_cursor", "cursor").items("/items");
/// let mut pages = cx.get("/contacts").query("limit", 100).paginate(style);
/// while let Some(page) = pages.next().await? {
///     let mut commit = cx.batch("Contact");
///     let contacts: Vec<Value> = commit.items(&page)?;
///     commit.save_all(&contacts)?.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Paginate {
    style: Style,
    items: String,
    more: Option<String>,
    size: Option<(String, u64)>,
    from: Option<Position>,
}

#[derive(Debug, Clone)]
enum Style {
    Cursor { pointer: String, parameter: String },
    Page { parameter: String, first: u64 },
    Offset { parameter: String },
    Link,
    NextUrl { pointer: String },
}

/// Where to go on. As JSON it is for example `{"cursor":"c2"}`, `{"page":3}`, `{"offset":200}`
/// or `{"url":"https://…"}`; it is meant to be part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The value of the cursor's parameter.
    Cursor(String),
    /// The number of the page.
    Page(u64),
    /// How many items come before.
    Offset(u64),
    /// The URL of the page.
    Url(String),
}

impl Paginate {
    /// The body names the cursor of the next page at a JSON pointer; it is sent as a query
    /// parameter. Ends when it is missing, null, false or empty.
    pub fn cursor(pointer: impl Into<String>, parameter: impl Into<String>) -> Self {
        Self::new(Style::Cursor {
            pointer: pointer.into(),
            parameter: parameter.into(),
        })
    }

    /// A query parameter counts pages from `first` (usually 0 or 1). Ends on an empty page: a short
    /// one may only be one of which the API hides some items. (After a short one, a 400, 404, 410,
    /// 416 or 422 ends it too.)
    pub fn page(parameter: impl Into<String>, first: u64) -> Self {
        Self::new(Style::Page {
            parameter: parameter.into(),
            first,
        })
    }

    /// A query parameter says how many items to skip: as many as have been received. Ends as
    /// [`page`](Self::page) does.
    pub fn offset(parameter: impl Into<String>) -> Self {
        Self::new(Style::Offset {
            parameter: parameter.into(),
        })
    }

    /// The header `Link` (RFC 8288) names the next page with `rel="next"`. Ends when it doesn't.
    pub fn link() -> Self {
        Self::new(Style::Link)
    }

    /// The body names the URL of the next page at a JSON pointer. Ends when it is missing, null,
    /// false or empty.
    pub fn next_url(pointer: impl Into<String>) -> Self {
        Self::new(Style::NextUrl {
            pointer: pointer.into(),
        })
    }

    fn new(style: Style) -> Self {
        Paginate {
            style,
            items: String::new(),
            more: None,
            size: None,
            from: None,
        }
    }

    /// Where a body holds its items, as a JSON pointer. By default the body is the list itself.
    pub fn items(mut self, pointer: impl Into<String>) -> Self {
        self.items = pointer.into();
        self
    }

    /// Where a body says whether there are more pages, for example `/has_more`: `false` ends.
    pub fn more(mut self, pointer: impl Into<String>) -> Self {
        self.more = Some(pointer.into());
        self
    }

    /// Ask for `size` items a page with a query parameter. Servers may cap it lower.
    pub fn size(mut self, parameter: impl Into<String>, size: u64) -> Self {
        self.size = Some((parameter.into(), size));
        self
    }

    /// Whether the place of a page in the list is a number that is asked for.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.style, Style::Page { .. } | Style::Offset { .. })
    }

    /// Continue at a saved position; `None` is the start.
    pub fn from(mut self, position: impl Into<Option<Position>>) -> Self {
        self.from = position.into();
        self
    }
}

/// The pages of a request, one after the other.
#[derive(Debug)]
pub struct Pages {
    request: RequestBuilder,
    style: Paginate,
    next: NextPage,
    /// Hashes of the cursors and URLs so far (kept small, and free of random numbers).
    seen: BTreeSet<u64>,
    count: u64,
    /// The most items that a page had, and whether the last one had fewer.
    full: u64,
    short: bool,
    /// The last answer said that there is no such page.
    beyond: bool,
    /// Hash of the last page's items, in styles where only they can tell a loop.
    last: Option<u64>,
    sizes: PageSizes,
    /// Something was at the pointer to the flag, and to the next page, in any answer.
    has_more: bool,
    has_next: bool,
}

#[derive(Debug, Clone)]
enum NextPage {
    Start,
    At(Position),
    End,
}

impl Pages {
    pub(super) fn new(request: RequestBuilder, style: Paginate) -> Self {
        let mut request = request;
        if let Some((parameter, size)) = &style.size {
            request = request.query(parameter, size);
        }
        Pages {
            request,
            next: style.from.clone().map_or(NextPage::Start, NextPage::At),
            style,
            seen: BTreeSet::new(),
            count: 0,
            full: 0,
            short: false,
            beyond: false,
            last: None,
            sizes: PageSizes::default(),
            has_more: false,
            has_next: false,
        }
    }

    /// The next page, or `None` after the last one. After a failure it may be called again, and
    /// asks for the same page.
    ///
    /// Fails, apart from what [`send`](RequestBuilder::send) fails with, when a cursor or a URL
    /// comes again, when two pages in a row are the same, and beyond 100,000 pages (kind
    /// `other`, code `pagination-loop`).
    ///
    /// When the last page is there, the log has a warning for a pointer that no answer had anything at, and for pages
    /// of another size than asked for.
    pub async fn next(&mut self) -> Result<Option<HttpPage>> {
        let at = match &self.next {
            NextPage::Start => None,
            NextPage::At(position) => Some(position.clone()),
            NextPage::End => return Ok(None),
        };
        if self.count == PAGES_MAX {
            return Err(self.looped(&format!("there are more than {PAGES_MAX} pages")));
        }
        let request = self.request_at(at.as_ref())?;
        let response = match request.send().await {
            Err(failure) if self.short && is_beyond(&failure) => {
                self.next = NextPage::End;
                self.beyond = true;
                self.tell();
                return Ok(None);
            }
            sent => sent?,
        };
        let mut page = HttpPage::new(response, self.style.items.clone(), at)?;
        let next = self.after(&page)?;
        self.count += 1;
        self.watch(&page);
        if next.is_none() {
            self.tell();
        }
        page.next.clone_from(&next);
        self.next = next.map_or(NextPage::End, NextPage::At);
        Ok(Some(page))
    }

    /// Whether the last answer was no page, but said that there is none.
    pub(crate) fn ended_beyond(&self) -> bool {
        self.beyond
    }

    /// Take in whether the answer has what the style points at.
    fn watch(&mut self, page: &HttpPage) {
        if self.count <= SIZED_PAGES {
            let items = page.raw_items().map_or(0, |items| items.len());
            self.sizes.page(items as u64);
        }
        let more = self.style.more.as_ref();
        self.has_more = self.has_more || more.is_some_and(|pointer| page.has(pointer));
        self.has_next = self.has_next
            || match &self.style.style {
                Style::Cursor { pointer, .. } | Style::NextUrl { pointer } => page.has(pointer),
                Style::Link => {
                    let mut headers = page.response().headers();
                    headers.any(|(name, _)| name.eq_ignore_ascii_case("link"))
                }
                Style::Page { .. } | Style::Offset { .. } => true,
            };
    }

    /// Warn of what led nowhere in all answers.
    fn tell(&self) {
        let name = self.request.name();
        if let Some(pointer) = self.style.more.as_ref().filter(|_| !self.has_more) {
            warn!(
                "{name}: no answer has anything at {pointer}, which should say whether there is more"
            );
        }
        let asked = self.style.size.as_ref();
        // A list of one page may leave it out, if that page is not full.
        let may_go_on = asked.is_none_or(|(_, size)| self.sizes.most() >= *size);
        if !self.has_next && may_go_on && self.sizes.most() > 0 {
            match &self.style.style {
                Style::Cursor { pointer, .. } | Style::NextUrl { pointer } => warn!(
                    "{name}: no answer has anything at {pointer}, which should name the next page; that is fine \
                     if the API leaves it out where there is none"
                ),
                Style::Link if asked.is_some() => warn!(
                    "{name}: no answer has the header Link, which should name the next page; that is fine if the \
                     API leaves it out where there is none"
                ),
                Style::Link | Style::Page { .. } | Style::Offset { .. } => {}
            }
        }
        if let Some(finding) = asked.and_then(|(_, size)| self.sizes.finding(*size)) {
            let parameter = asked.map_or("", |(parameter, _)| parameter);
            warn!("{name}: `{parameter}`: {finding}");
        }
    }

    fn request_at(&self, at: Option<&Position>) -> Result<RequestBuilder> {
        let request = self.request.clone();
        Ok(match (&self.style.style, at) {
            (Style::Cursor { parameter, .. }, Some(Position::Cursor(cursor))) => {
                request.query(parameter, cursor)
            }
            (Style::Page { parameter, first }, None) => request.query(parameter, first),
            (Style::Page { parameter, .. }, Some(Position::Page(page))) => {
                request.query(parameter, page)
            }
            (Style::Offset { parameter }, None) => request.query(parameter, 0),
            (Style::Offset { parameter }, Some(Position::Offset(offset))) => {
                request.query(parameter, offset)
            }
            (Style::Link | Style::NextUrl { .. }, Some(Position::Url(url))) => {
                let mut request = request;
                request.set_url(url.clone());
                request
            }
            (Style::Cursor { .. } | Style::Link | Style::NextUrl { .. }, None) => request,
            (_, Some(position)) => {
                return Err(Failure::config(format!(
                    "{}: the saved position {position:?} is of another pagination style; \
                     run the sync once with --reset to start over",
                    self.request.name()
                ))
                .code("checkpoint-unreadable"));
            }
        })
    }

    /// Where to go on after this page.
    fn after(&mut self, page: &HttpPage) -> Result<Option<Position>> {
        if let Some(pointer) = &self.style.more
            && page.at::<bool>(pointer)? == Some(false)
        {
            return Ok(None);
        }
        let next = match &self.style.style {
            Style::Cursor { pointer, .. } => page.token(pointer)?.map(Position::Cursor),
            Style::NextUrl { pointer } => page
                .token(pointer)?
                .map(|url| Position::Url(page.response().resolve(&url))),
            Style::Link => page.response().link("next").map(Position::Url),
            Style::Page { first, .. } => {
                let number = match page.position() {
                    Some(Position::Page(number)) => *number,
                    _ => *first,
                };
                self.counted(page)?.map(|_| Position::Page(number + 1))
            }
            Style::Offset { .. } => {
                let offset = match page.position() {
                    Some(Position::Offset(offset)) => *offset,
                    _ => 0,
                };
                self.counted(page)?
                    .map(|count| Position::Offset(offset + count))
            }
        };
        // An empty page that names itself is how some APIs end.
        let next = match next {
            Some(next) if Some(&next) == page.position() && page.raw_items()?.is_empty() => None,
            next => next,
        };
        if let Some(position) = &next {
            // Where this page came from counts too: a cursor that names itself is a loop.
            if let Some(at) = page.position() {
                self.seen.insert(hash(at));
            }
            if !self.seen.insert(hash(position)) {
                return Err(self.looped(&format!("{} comes again", described(position))));
            }
        }
        Ok(next)
    }

    /// How many items a page has; `None` when it is the last one.
    fn counted(&mut self, page: &HttpPage) -> Result<Option<u64>> {
        let count = page.raw_items()?.len() as u64;
        let size = self.style.size.as_ref().map_or(0, |(_, size)| *size);
        self.short = count < self.full || (self.count == 0 && count < size);
        self.full = self.full.max(count);
        if count == 0 {
            return Ok(None);
        }
        let items = hash(&page.items_text());
        if self.last.replace(items) == Some(items) {
            let problem = "two pages in a row are the same: does the API know the parameter?";
            return Err(self.looped(problem));
        }
        Ok(Some(count))
    }

    fn looped(&self, problem: &str) -> Failure {
        Failure::other(format!(
            "{}: page {}: {problem}",
            self.request.name(),
            self.count + 1
        ))
        .code("pagination-loop")
    }
}

/// Whether it is how an API answers beyond the last page.
pub(crate) fn is_beyond(failure: &Failure) -> bool {
    const BEYOND: [u16; 5] = [400, 404, 410, 416, 422];
    let upstream = failure.upstream.as_ref();
    upstream.is_some_and(|upstream| BEYOND.contains(&upstream.status))
}

fn described(position: &Position) -> String {
    match position {
        Position::Cursor(cursor) => format!("the cursor `{cursor}`"),
        Position::Page(page) => format!("the page {page}"),
        Position::Offset(offset) => format!("the offset {offset}"),
        Position::Url(url) => format!("the URL {url}"),
    }
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
