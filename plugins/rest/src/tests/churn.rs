//! A list that changes while it is read: records are inserted, updated, deleted and moved before
//! each of its answers, as chance has it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

/// How the API hands out its pages, and so how the config asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Everything in one answer.
    None,
    Page,
    PageOfTotal,
    PageOfPages,
    /// 404 beyond the last page.
    PageOfStatus,
    Offset,
    OffsetOfTotal,
    /// A cursor that is an offset inside.
    CursorOfOffset,
    /// A cursor that is the last record's rank: moved records are jumped over.
    CursorOfRank,
    /// The last record's id.
    CursorOfRecord,
    Link,
    NextUrl,
    /// The last record's id, in a list that is sorted by it.
    CursorOfKey,
    /// A number inside, in a list that is sorted by ids.
    LinkOfStable,
    /// Sorted by the last update, and asked for by it.
    Ordered,
    /// Changes only, sorted by nothing in particular, in pages of a number.
    Changes,
    ChangesOfOffset,
    /// After the last record's id, and sorted by it.
    ChangesByKey,
    ChangesAtOnce,
}

pub(super) const STYLES: [Style; 19] = [
    Style::None,
    Style::Page,
    Style::PageOfTotal,
    Style::PageOfPages,
    Style::PageOfStatus,
    Style::Offset,
    Style::OffsetOfTotal,
    Style::CursorOfOffset,
    Style::CursorOfRank,
    Style::CursorOfRecord,
    Style::Link,
    Style::NextUrl,
    Style::CursorOfKey,
    Style::LinkOfStable,
    Style::Ordered,
    Style::Changes,
    Style::ChangesOfOffset,
    Style::ChangesByKey,
    Style::ChangesAtOnce,
];

impl Style {
    /// Whether changes are asked for since the last pull.
    pub(super) fn is_incremental(self) -> bool {
        use Style::{Changes, ChangesAtOnce, ChangesByKey, ChangesOfOffset, Ordered};
        matches!(
            self,
            Ordered | Changes | ChangesOfOffset | ChangesByKey | ChangesAtOnce
        )
    }

    /// Whether nobody can know how the list moves.
    pub(super) fn is_opaque(self) -> bool {
        use Style::{CursorOfOffset, CursorOfRank, CursorOfRecord, Link, NextUrl};
        matches!(
            self,
            CursorOfOffset | CursorOfRank | CursorOfRecord | Link | NextUrl
        )
    }
}

/// Most changes while one run reads.
const CHANGES_MAX: u32 = 300;

#[derive(Debug, Clone)]
struct Item {
    id: u64,
    version: u64,
    /// Where it is in the list.
    rank: f64,
    /// In seconds.
    updated: i64,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    items: Vec<Item>,
    next_id: u64,
    clock: i64,
    size: usize,
    /// How often something changes before an answer, of 100.
    churn: u8,
    /// How many changes are left of it: a list that grows faster than it is read has no end.
    left: u32,
    /// How often an answer is not what it should be, of 100.
    trouble: u8,
    changes: u64,
}

/// The API. Clones share everything.
#[derive(Clone)]
pub(super) struct Churn {
    style: Style,
    state: Rc<RefCell<State>>,
}

impl Churn {
    pub(super) fn new(style: Style, mut rng: Rng) -> Self {
        let (count, size) = (rng.u64(2..14), rng.usize(1..5));
        let state = State {
            items: Vec::new(),
            next_id: 1,
            clock: 1_767_139_200,
            size,
            churn: 0,
            left: 0,
            trouble: 0,
            changes: 0,
            rng,
        };
        let churn = Churn {
            style,
            state: Rc::new(RefCell::new(state)),
        };
        for _ in 0..count {
            churn.state.borrow_mut().insert();
        }
        churn
    }

    /// How much happens from now on, of 100 answers.
    pub(super) fn happens(&self, churn: u8, trouble: u8) {
        let mut state = self.state.borrow_mut();
        (state.churn, state.trouble) = (churn, trouble);
        state.left = CHANGES_MAX;
    }

    /// Something changes between two runs.
    pub(super) fn change(&self) {
        self.state.borrow_mut().change();
    }

    pub(super) fn changes(&self) -> u64 {
        self.state.borrow().changes
    }

    /// The API's clock, in seconds.
    pub(super) fn clock(&self) -> i64 {
        self.state.borrow().clock
    }

    /// What there is, by id.
    pub(super) fn truth(&self) -> BTreeMap<String, Value> {
        let state = self.state.borrow();
        let items = state.items.iter();
        items
            .map(|item| (item.id.to_string(), body(item)))
            .collect()
    }

    /// The config of the model `M`.
    pub(super) fn config(&self, confirms: bool) -> Value {
        let size = self.state.borrow().size;
        let counted = |style: &str| json!({ "style": style, "page_size": size, "page_size_parameter": "size" });
        let with = |mut base: Value, key: &str, value: &str| {
            base[key] = json!(value);
            base
        };
        let cursor = json!({ "style": "cursor", "parameter": "cursor", "page_size": size, "page_size_parameter": "size" });
        let pagination = match self.style {
            Style::None | Style::ChangesAtOnce => json!({ "style": "none" }),
            Style::Page | Style::Changes => counted("page"),
            Style::PageOfTotal => with(counted("page"), "total_pointer", "/total"),
            Style::PageOfPages => with(counted("page"), "total_pages_pointer", "/pages"),
            Style::PageOfStatus => {
                let mut paged = counted("page");
                paged["end_statuses"] = json!([404]);
                paged
            }
            Style::Offset | Style::Ordered | Style::ChangesOfOffset => counted("offset"),
            Style::OffsetOfTotal => with(counted("offset"), "total_pointer", "/total"),
            Style::CursorOfOffset | Style::CursorOfRank => with(cursor, "cursor_pointer", "/next"),
            Style::CursorOfRecord => with(cursor, "cursor_record_pointer", "/id"),
            Style::CursorOfKey | Style::ChangesByKey => {
                let mut keyed = with(cursor, "cursor_record_pointer", "/id");
                keyed["stable_order"] = json!(true);
                keyed
            }
            Style::LinkOfStable => {
                json!({ "style": "link", "page_size": size, "page_size_parameter": "size", "stable_order": true })
            }
            Style::Link => {
                json!({ "style": "link", "page_size": size, "page_size_parameter": "size" })
            }
            Style::NextUrl => {
                json!({ "style": "next_url", "url_pointer": "/next", "page_size": size, "page_size_parameter": "size" })
            }
        };
        let mut model = json!({
            "path": "/m",
            "records": "/data",
            "pagination": pagination,
            "full_pull_with_deletes": if confirms { json!({ "confirm": "/m/{id}" }) } else { json!(true) },
        });
        if self.style.is_incremental() {
            model["incremental"] = json!({
                "parameter": "since",
                "field": "/updated",
                "format": "epoch_s",
                "ordered": self.style == Style::Ordered,
            });
            model["full_pull_every_hours"] = json!(1);
        }
        json!({ "models": { "M": model } })
    }

    pub(super) fn handler(&self) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let api = self.clone();
        move |request| Some(api.answer(request))
    }

    fn answer(&self, request: &Request) -> Reply {
        let mut state = self.state.borrow_mut();
        while state.left > 0 && state.rng.u8(0..100) < state.churn {
            state.left -= 1;
            state.change();
        }
        let date = jiff::Timestamp::from_second(state.clock).unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&date)
            .unwrap();
        let troubled = state.rng.u8(0..100) < state.trouble;
        let reply = match request.path.strip_prefix("/m/") {
            Some(_) if troubled => Reply::status(500),
            Some(id) => match state.items.iter().find(|item| item.id.to_string() == id) {
                Some(item) => Reply::json(body(item)),
                None => Reply::status(404),
            },
            None if troubled => match state.rng.u8(0..4) {
                0 => Reply::json(json!({ "ok": false, "error": "ratelimited" })),
                1 => Reply::json(json!({ "data": null, "errors": [{ "message": "shard 2" }] })),
                2 => Reply::status(503),
                _ => self.list(&mut state, request, true),
            },
            None => self.list(&mut state, request, false),
        };
        reply.header("Date", date)
    }

    /// A page; `hides` one of its records.
    fn list(&self, state: &mut State, request: &Request, hides: bool) -> Reply {
        let number = |name: &str| request.query(name).and_then(|text| text.parse().ok());
        let size = number("size").unwrap_or(usize::MAX);
        let mut items = state.items.clone();
        items.sort_by(|a, b| a.rank.total_cmp(&b.rank));
        if let Some(since) = number("since") {
            items.retain(|item| usize::try_from(item.updated).unwrap() >= since);
        }
        match self.style {
            Style::Ordered => items.sort_by_key(|item| (item.updated, item.id)),
            Style::ChangesByKey | Style::CursorOfKey | Style::LinkOfStable => {
                items.sort_by_key(|item| item.id);
            }
            _ => {}
        }
        let total = items.len();
        let from = match self.style {
            Style::None | Style::ChangesAtOnce => 0,
            Style::Page
            | Style::PageOfTotal
            | Style::PageOfPages
            | Style::PageOfStatus
            | Style::Changes => (number("page").unwrap_or(1) - 1) * size,
            Style::Offset | Style::OffsetOfTotal | Style::Ordered | Style::ChangesOfOffset => {
                number("offset").unwrap_or(0)
            }
            Style::ChangesByKey | Style::CursorOfKey => {
                let after = number("cursor").unwrap_or(0);
                let is_before = |item: &&Item| usize::try_from(item.id).unwrap() <= after;
                items.iter().filter(is_before).count()
            }
            Style::CursorOfOffset | Style::Link | Style::LinkOfStable | Style::NextUrl => {
                number("cursor").unwrap_or(0)
            }
            Style::CursorOfRank => match request.query("cursor") {
                None => 0,
                Some(rank) => {
                    let rank: f64 = rank.parse().unwrap();
                    items.iter().filter(|item| item.rank <= rank).count()
                }
            },
            Style::CursorOfRecord => match request.query("cursor") {
                None => 0,
                Some(id) => match items.iter().position(|item| item.id.to_string() == id) {
                    Some(at) => at + 1,
                    // As Stripe does.
                    None => return Reply::status(400),
                },
            },
        };
        if self.style == Style::PageOfStatus && from > 0 && from >= total {
            return Reply::status(404);
        }
        let to = from.saturating_add(size).min(total);
        let page = items.get(from.min(total)..to).unwrap_or_default();
        let mut data: Vec<Value> = page.iter().map(body).collect();
        if hides && data.len() > 1 {
            data.remove(state.rng.usize(0..data.len()));
        }
        let goes_on = to < total;
        let next = match self.style {
            Style::CursorOfRank => page.last().map(|item| item.rank.to_string()),
            _ => Some(to.to_string()),
        };
        let next = next.filter(|_| goes_on);
        let url =
            |cursor: &String| format!("https://api.example.com/base/m?size={size}&cursor={cursor}");
        let mut answer = json!({ "data": data, "total": total, "pages": total.div_ceil(size.min(total.max(1))) });
        match self.style {
            Style::Link | Style::LinkOfStable => {
                let reply = Reply::json(answer);
                return match next {
                    Some(next) => reply.header("Link", format!("<{}>; rel=\"next\"", url(&next))),
                    None => reply,
                };
            }
            Style::NextUrl => answer["next"] = json!(next.as_ref().map(url)),
            _ => answer["next"] = json!(next),
        }
        Reply::json(answer)
    }
}

fn body(item: &Item) -> Value {
    json!({ "id": item.id, "version": item.version, "updated": item.updated })
}

impl State {
    fn change(&mut self) {
        self.changes += 1;
        self.clock += i64::from(self.rng.u8(0..3));
        match self.rng.u8(0..10) {
            0..=2 => self.insert(),
            3..=5 if self.items.len() > 2 => {
                let at = self.rng.usize(0..self.items.len());
                self.items.remove(at);
            }
            6 => self.touch(false),
            _ => self.touch(true),
        }
    }

    fn rank(&mut self) -> f64 {
        match self.rng.u8(0..4) {
            // First, last, or between two others.
            0 => self.items.iter().map(|item| item.rank).fold(0.0, f64::min) - 1.0,
            1 => self.items.iter().map(|item| item.rank).fold(0.0, f64::max) + 1.0,
            _ => {
                let mut ranks: Vec<f64> = self.items.iter().map(|item| item.rank).collect();
                ranks.sort_by(f64::total_cmp);
                match ranks.len() {
                    0 | 1 => self.rng.f64(),
                    len => {
                        let at = self.rng.usize(1..len);
                        ranks[at - 1].midpoint(ranks[at])
                    }
                }
            }
        }
    }

    fn insert(&mut self) {
        let rank = self.rank();
        self.items.push(Item {
            id: self.next_id,
            version: 1,
            rank,
            updated: self.clock,
        });
        // Ids are never given out twice.
        self.next_id += self.rng.u64(1..4);
    }

    /// Update a record, and perhaps move it.
    fn touch(&mut self, moves: bool) {
        let rank = self.rank();
        let at = self.rng.usize(0..self.items.len());
        let clock = self.clock;
        if let Some(item) = self.items.get_mut(at) {
            item.version += 1;
            item.updated = clock;
            if moves {
                item.rank = rank;
            }
        }
    }
}
