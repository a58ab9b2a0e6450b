//! Reading a change feed for an answer: a page of it, all of it, or what comes.
//!
//! Records are read and written in parts, each when the client has taken the one before; within a part they are written as
//! they were stored, into one buffer: no body is parsed.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tidegate_engine::Timestamp;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::limits::API_PAGE_BYTES;
use tidegate_engine::record::Record;
use tidegate_engine::store::{ActionFilter, Changes, SMALL_READ};
use tidegate_service::control::{KnownModel, ReadModel};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::app::App;
use super::super::problem::{Answer, Failed};
use super::super::room::{Allowance, Hold, Permit};
use super::super::stream::{self, HEARTBEAT, ResponseFormat, Source};
use crate::views::write_record;

/// Records of one part, and bytes of their bodies after which it ends: as lines they have about `api_part_bytes`, unless the
/// last record alone has more. They are more than a small read has, so that parts of large answers queue
/// among themselves, and small reads wait for none of them.
const PART_RECORDS: usize = 256;
const _: () = assert!(PART_RECORDS > SMALL_READ);
const PART_BYTES: usize = 64 * 1024;
/// How often to look for what no commit of this process tells of: imports, drops.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Bytes of bodies that are looked up at once by their ids: all of most requests, and so few that it is known in time
/// when it is too much.
const IDS_BYTES: u64 = 4 << 20;

/// What is read.
pub(super) struct Feed {
    pub(super) app: App,
    pub(super) allowance: Allowance,
    pub(super) model: KnownModel,
    pub(super) after: Option<Cursor>,
    pub(super) filter: ActionFilter,
    pub(super) modified_after: Option<Timestamp>,
}

/// A part of it.
pub(super) struct Part {
    changes: Changes,
    /// Of a part that is larger than most.
    hold: Arc<Hold>,
}

impl Part {
    /// Bytes that are made of it.
    fn written(self, out: Vec<u8>) -> Bytes {
        self.hold.carried_by(out.into())
    }

    /// Whether it ends where a part has to.
    fn is_full(&self, limit: usize) -> bool {
        let records = &self.changes.records;
        let bytes = records.iter().map(body_bytes).sum::<usize>();
        records.len() >= limit.min(PART_RECORDS) || bytes >= PART_BYTES
    }
}

/// Without what changed after this sequence: whoever reads in several parts what there was at one time never gets a
/// record twice.
fn cut_after(changes: &mut Changes, seq: u64) {
    if changes.next.seq > seq {
        changes.records.retain(|record| record.seq <= seq);
        changes.next.seq = seq;
        changes.more = true;
    }
}

fn body_bytes(record: &Record) -> usize {
    record.body.as_ref().map_or(0, String::len)
}

impl Feed {
    /// Read on from where it is: a part, of at most so many records.
    async fn part(&mut self, limit: usize) -> Answer<Part> {
        let hold = Arc::new(self.allowance.hold());
        let mut changes = self.read(limit).await?;
        let bytes = room(&changes) as u64;
        if !hold.try_grow(bytes) {
            // While it waits for room it has nothing.
            drop(changes);
            hold.grow(bytes).await?;
            changes = self.read(limit).await?;
        }
        self.after = Some(changes.next);
        Ok(Part { changes, hold })
    }

    async fn read(&self, limit: usize) -> Answer<Changes> {
        let read = ReadModel {
            model: self.model.clone(),
            after: self.after,
            filter: self.filter,
            limit: limit.min(PART_RECORDS),
            bytes_max: PART_BYTES,
        };
        Ok(self.app.control.read_changes(read).await?)
    }

    /// Whether a record is to be shown.
    fn shows(&self, record: &Record) -> bool {
        self.modified_after
            .is_none_or(|at| record.last_modified_at >= at)
    }

    /// One page, waited for if there is nothing.
    pub(super) async fn page(mut self, limit: usize, wait: Duration) -> Answer<Response> {
        let until = Instant::now() + wait;
        let _waiting = match wait.is_zero() {
            true => None,
            false => Some(self.allowance.stream()?),
        };
        let first = loop {
            let mut commits = self.app.control.watch(&self.model.key().connection);
            let first = self.part(limit).await?;
            let any = first
                .changes
                .records
                .iter()
                .any(|record| self.shows(record));
            if any || first.changes.more || !self.wait(&mut commits, until).await {
                break first;
            }
        };
        let mut page = Page {
            newest: first.changes.newest,
            feed: self,
            first: Some(first),
            left: limit,
            bytes: 0,
            shown: 0,
            ended: false,
        };
        let begin = page.next().await?.unwrap_or_default();
        if page.ended {
            return Ok(json(begin));
        }
        let permit = page.feed.allowance.answer().await?;
        let whole = OpenedFeed(Some(begin), page);
        Ok(stream::answer(ResponseFormat::Page, whole, permit))
    }

    /// Wait for a commit; `false` once the time is over.
    async fn wait(&self, commits: &mut watch::Receiver<()>, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::select! {
            // An error means that nobody tells any more; then the time decides.
            Ok(()) = commits.changed() => true,
            () = tokio::time::sleep(left.min(LOOK_EVERY)) => true,
            () = self.app.stopping.cancelled() => false,
        }
    }
}

/// A page, part by part.
struct Page {
    feed: Feed,
    first: Option<Part>,
    /// The last change when it began: what changed since is no more part of it, or a record might be there twice.
    newest: u64,
    /// How many records more it may have.
    left: usize,
    /// Of bodies so far.
    bytes: u64,
    shown: usize,
    ended: bool,
}

impl Source for Page {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let (mut out, mut part) = match self.first.take() {
            Some(first) => (b"{\"records\":[".to_vec(), first),
            None => (Vec::new(), self.feed.part(self.left).await?),
        };
        // Not so when it had to look at too many that the filter leaves out.
        let is_full = part.is_full(self.left);
        let changes = &mut part.changes;
        cut_after(changes, self.newest);
        out.reserve(256 + room(changes));
        for record in &changes.records {
            self.bytes += body_bytes(record) as u64;
            if !self.feed.shows(record) {
                continue;
            }
            if self.shown > 0 {
                out.push(b',');
            }
            self.shown += 1;
            write_record(&mut out, record, changes.cursor_after(record))?;
        }
        self.left = self.left.saturating_sub(changes.records.len());
        let (next, more) = (changes.next, changes.more);
        let goes_on = more && is_full && next.seq < self.newest;
        if !goes_on || self.left == 0 || self.bytes >= API_PAGE_BYTES {
            self.ended = true;
            write!(out, "],\"next_cursor\":\"{next}\",\"more\":{more}}}")?;
        }
        Ok(Some(part.written(out)))
    }
}

/// A source of which a part has been taken already.
struct OpenedFeed<S>(Option<Bytes>, S);

impl<S: Source> Source for OpenedFeed<S> {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        match self.0.take() {
            Some(begin) => Ok(Some(begin)),
            None => self.1.next().await,
        }
    }
}

/// The records with these ids, those that are there, each once, in the order asked. There is no next page.
pub(super) async fn by_ids(
    app: &App,
    model: &KnownModel,
    ids: &[String],
    hold: &Hold,
) -> Answer<Response> {
    let read = ReadModel {
        model: model.clone(),
        after: None,
        filter: ActionFilter::ALL,
        limit: 1,
        bytes_max: 1,
    };
    let place = app.control.read_changes(read).await?;
    let mut seen = HashSet::new();
    let ids: Vec<String> = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
    let mut out = b"{\"records\":[".to_vec();
    let (mut bytes, mut separator) = (0, false);
    let mut left = ids.as_slice();
    while !left.is_empty() {
        let records = app.control.records(model, left, IDS_BYTES).await?;
        // One at least is answered of whatever is asked.
        left = left.get(records.len().max(1)..).unwrap_or_default();
        for record in records.iter().flatten() {
            bytes += body_bytes(record) as u64;
            if bytes > API_PAGE_BYTES {
                let detail = format!(
                    "ids: the bodies of these records are more than the limit api_page_bytes, {API_PAGE_BYTES} bytes"
                );
                return Err(Failed::invalid(detail).hint("ask for fewer of them at once"));
            }
            if std::mem::replace(&mut separator, true) {
                out.push(b',');
            }
            write_record(&mut out, record, place.cursor_after(record))?;
        }
        hold.grow(out.len() as u64).await?;
    }
    out.extend_from_slice(b"],\"next_cursor\":null,\"more\":false}");
    Ok(json(out.into()))
}

/// The rest of a feed as lines, and a last line that says where it ended.
pub(super) struct RemainingPages {
    feed: Feed,
    /// What was read before the answer began, so that a problem with it is the answer.
    first: Option<Part>,
    ended: bool,
}

impl RemainingPages {
    pub(super) async fn begin(mut feed: Feed) -> Answer<(Self, Permit)> {
        let permit = feed.allowance.answer().await?;
        let first = feed.part(PART_RECORDS).await?;
        let rest = Self {
            feed,
            first: Some(first),
            ended: false,
        };
        Ok((rest, permit))
    }
}

impl Source for RemainingPages {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let part = match self.first.take() {
            Some(first) => first,
            None => self.feed.part(PART_RECORDS).await?,
        };
        let changes = &part.changes;
        let mut out = Vec::with_capacity(256 + room(changes));
        for record in changes
            .records
            .iter()
            .filter(|record| self.feed.shows(record))
        {
            write_record(&mut out, record, changes.cursor_after(record))?;
            out.push(b'\n');
        }
        // A server that stops ends the stream early: the last line says so.
        let stopping = self.feed.app.stopping.is_cancelled();
        if !changes.more || stopping {
            self.ended = true;
            let (next, more) = (changes.next, changes.more);
            writeln!(out, "{{\"next_cursor\":\"{next}\",\"more\":{more}}}")?;
        }
        Ok(Some(part.written(out)))
    }
}

/// The rest of a feed as events, and what comes after it.
pub(super) struct Following {
    feed: Feed,
    first: Option<Part>,
    commits: watch::Receiver<()>,
}

impl Following {
    pub(super) async fn begin(mut feed: Feed) -> Answer<(Self, Permit)> {
        let permit = feed.allowance.stream()?;
        let commits = feed.app.control.watch(&feed.model.key().connection);
        let first = feed.part(PART_RECORDS).await?;
        let following = Self {
            feed,
            first: Some(first),
            commits,
        };
        Ok((following, permit))
    }
}

impl Source for Following {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        let quiet_until = Instant::now() + HEARTBEAT;
        loop {
            let part = match self.first.take() {
                Some(first) => first,
                None => self.feed.part(PART_RECORDS).await?,
            };
            let changes = &part.changes;
            let mut out = Vec::with_capacity(room(changes));
            for record in changes
                .records
                .iter()
                .filter(|record| self.feed.shows(record))
            {
                let cursor = changes.cursor_after(record);
                write!(out, "id: {cursor}\nevent: record\ndata: ")?;
                write_record(&mut out, record, cursor)?;
                out.extend_from_slice(b"\n\n");
            }
            if !out.is_empty() {
                return Ok(Some(part.written(out)));
            }
            if changes.more {
                continue;
            }
            if self.feed.app.stopping.is_cancelled() {
                return Ok(None);
            }
            if !self.feed.wait(&mut self.commits, quiet_until).await {
                return match self.feed.app.stopping.is_cancelled() {
                    true => Ok(None),
                    false => Ok(Some(Bytes::from_static(b": nothing new\n\n"))),
                };
            }
        }
    }
}

/// How much room the lines of these records take, about.
fn room(changes: &Changes) -> usize {
    let bodies = changes
        .records
        .iter()
        .map(|record| body_bytes(record) + record.id.len() + 256);
    bodies.sum()
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
