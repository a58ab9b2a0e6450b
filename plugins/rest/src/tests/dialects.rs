//! How each example's API asks and answers.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

use super::api::{Item, State, rfc3339, unix};
use crate::time::Format;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Cursor,
    Page,
    Offset,
    Link,
    NextUrl,
    Stripe,
    Kinto,
}

pub(super) const ALL: [Dialect; 7] = [
    Dialect::Cursor,
    Dialect::Page,
    Dialect::Offset,
    Dialect::Link,
    Dialect::NextUrl,
    Dialect::Stripe,
    Dialect::Kinto,
];

use Dialect::{Cursor, Kinto, Link, NextUrl, Offset, Page, Stripe};

impl Dialect {
    /// The example's file name, and the model that is tested.
    pub(super) fn example(self) -> (&'static str, &'static str) {
        match self {
            Cursor => ("cursor", "Contact"),
            Page => ("page", "Ticket"),
            Offset => ("offset", "Product"),
            Link => ("link", "Issue"),
            NextUrl => ("next_url", "Person"),
            Stripe => ("stripe", "Customer"),
            Kinto => ("kinto", "Record"),
        }
    }

    /// Whether a pull of changes tells what was deleted.
    pub(super) fn has_tombstones(self) -> bool {
        matches!(self, Cursor | NextUrl | Kinto)
    }

    /// Whether each pull is a full one.
    pub(super) fn is_always_full(self) -> bool {
        matches!(self, Offset | Stripe)
    }

    pub(super) fn page_size(self) -> usize {
        if self == Offset { 50 } else { 100 }
    }

    pub(super) fn id(self, item: &Item) -> String {
        match self {
            Page => format!("TI%3ADE:{}", item.number),
            Stripe => format!("cus_{:05}", item.number),
            _ => item.number.to_string(),
        }
    }

    /// A record as it should be stored.
    pub(super) fn whole(self, item: &Item) -> Value {
        let mut record = self.listed(item);
        if self == Offset {
            record["description"] = json!(format!("all about {}", item.number));
        }
        record
    }

    /// A record as the list has it.
    fn listed(self, item: &Item) -> Value {
        let Item {
            number,
            text,
            created,
            updated,
            deleted,
        } = item.clone();
        let modified = (updated != created).then(|| rfc3339(updated));
        match self {
            Cursor if deleted => {
                json!({ "id": number, "deleted": true, "updated_at": rfc3339(updated) })
            }
            Cursor => json!({ "id": number, "text": text, "updated_at": rfc3339(updated) }),
            Page => json!({
                "project": { "key": "TI:DE" }, "number": number, "text": text,
                "created": rfc3339(created), "modified": modified,
            }),
            Offset => json!({ "id": number, "text": text, "description": "cut off…" }),
            Link => json!({ "id": number, "title": text, "updated_at": rfc3339(updated) }),
            NextUrl => json!({
                "id": number, "text": text, "modified": unix(updated),
                "removed_at": deleted.then(|| rfc3339(updated)),
            }),
            Stripe => json!({ "id": self.id(item), "name": text, "created": unix(created) }),
            Kinto if deleted => {
                json!({ "id": number.to_string(), "deleted": true, "last_modified": updated })
            }
            Kinto => json!({ "id": number.to_string(), "text": text, "last_modified": updated }),
        }
    }

    /// The status and the answer.
    pub(super) fn answer(self, state: &State, request: &Request) -> (u16, Reply) {
        let number = |name: &str| {
            request
                .query(name)
                .map(|text| text.parse::<usize>().unwrap())
        };
        if let Some(id) = request.path.strip_prefix("/v2/products/") {
            let item = state
                .items
                .get(&id.parse().unwrap())
                .filter(|item| !item.deleted);
            return match item {
                Some(item) => (
                    200,
                    Reply::json(
                        json!({ "product": { "description": self.whole(item)["description"] } }),
                    ),
                ),
                None => (404, Reply::status(404)),
            };
        }
        let since = self.since(request);
        let mut items: Vec<&Item> = state
            .items
            .values()
            .filter(|item| match since {
                Some(since) if self == Kinto => item.updated > since,
                Some(since) => unix(item.updated) >= since,
                None => true,
            })
            .filter(|item| {
                !item.deleted || (self.has_tombstones() && (self != Kinto || since.is_some()))
            })
            .collect();
        if matches!(self, Link | Kinto) {
            items.sort_by_key(|item| (item.updated, item.number));
        }
        let size = self.page_size();
        let start = match self {
            Cursor => number("cursor").map_or(0, |after| position_after(&items, after)),
            Page | Link | NextUrl => number("page").map_or(0, |page| (page - 1) * size),
            Offset => number("offset").unwrap(),
            Stripe => request.query("starting_after").map_or(0, |after| {
                items
                    .iter()
                    .position(|item| self.id(item).as_str() == after)
                    .unwrap()
                    + 1
            }),
            Kinto => number("_token").map_or(0, |after| {
                let after = i64::try_from(after).unwrap();
                items
                    .iter()
                    .position(|item| item.updated > after)
                    .unwrap_or(items.len())
            }),
        };
        if start > 0 && start >= items.len() && self == Page {
            return (400, Reply::status(400).body("no such page"));
        }
        let page: Vec<&Item> = items.iter().copied().skip(start).take(size).collect();
        let records: Vec<Value> = page.iter().map(|item| self.listed(item)).collect();
        let more = start + page.len() < items.len();
        let next = more.then(|| page.last().unwrap().number);
        let base = request
            .url
            .split("&page=")
            .next()
            .unwrap()
            .split("&_token=")
            .next()
            .unwrap();
        let next_page = format!("{base}&page={}", start / size + 2);
        let reply = match self {
            Cursor => Reply::json(json!({ "items": records, "next_cursor": next })),
            Page => Reply::json(json!({
                "data": records, "meta": { "total_pages": items.len().div_ceil(size) },
            })),
            Offset if records.is_empty() => Reply::json(json!({ "total": items.len() })),
            Offset => Reply::json(json!({ "products": records, "total": items.len() })),
            NextUrl => Reply::json(json!({
                "results": records,
                "next": more.then(|| next_page.replace("https://api.example.com", "")),
            })),
            Stripe => Reply::json(json!({ "object": "list", "data": records, "has_more": more })),
            Link | Kinto => {
                let body = if self == Link {
                    json!(records)
                } else {
                    json!({ "data": records })
                };
                let last = state
                    .items
                    .values()
                    .map(|item| item.updated)
                    .max()
                    .unwrap_or(0);
                let etag = match self {
                    Kinto => format!("\"{last}\""),
                    _ => format!("W/\"{}\"", body.to_string().len()),
                };
                if request.header("If-None-Match") == Some(&etag) {
                    return (304, Reply::status(304));
                }
                let reply = Reply::json(body).header("ETag", etag);
                match (more, self) {
                    (false, _) => reply,
                    (true, Link) => reply.header("Link", format!("<{next_page}>; rel=\"next\"")),
                    (true, _) => {
                        let last = page.last().unwrap().updated;
                        reply.header("Next-Page", format!("{base}&_token={last}"))
                    }
                }
            }
        };
        (200, reply)
    }

    /// The incremental parameter: Unix seconds, or Kinto's number of the last change.
    fn since(self, request: &Request) -> Option<i64> {
        let read =
            |format: Format, text: &str| format.parse(text, None).map(|read| read.ms / 1_000);
        match self {
            Cursor => read(Format::Rfc3339, request.query("updated_since")?),
            Link => read(Format::Rfc3339, request.query("since")?),
            Page => read(Format::Date, request.query("modified_after")?),
            NextUrl => request.query("modified_since")?.parse().ok(),
            Kinto => request.query("_since")?.trim_matches('"').parse().ok(),
            Offset | Stripe => None,
        }
    }
}

fn position_after(items: &[&Item], number: usize) -> usize {
    items
        .iter()
        .take_while(|item| item.number <= number as u64)
        .count()
}
