//! Reading a change feed for an answer: a page of it, all of it, or what comes.
//!
//! Records are written as they were stored, into one buffer for many: no body is parsed.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tidegate_engine::cursor::Cursor;
use tidegate_engine::limits::API_PAGE_BYTES;
use tidegate_engine::record::Record;
use tidegate_engine::store::{ActionFilter, Changes, ReadChanges};
use tidegate_engine::{ModelKey, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::app::App;
use super::super::problem::{Answer, Failed};
use super::super::stream::{HEARTBEAT, Source};
use crate::shown::write_record;

/// Records of one part of a stream, and most bytes of their bodies.
const PART_RECORDS: usize = 1000;
const PART_BYTES: usize = 4 * 1024 * 1024;
/// How often to look for what no commit of this process tells of: imports, drops.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Records looked up at once by their ids: each has at most 4 MiB.
const IDS_AT_ONCE: usize = 8;

/// What is read.
pub(super) struct Feed {
    pub(super) app: App,
    pub(super) model: ModelKey,
    pub(super) after: Option<Cursor>,
    pub(super) filter: ActionFilter,
    pub(super) modified_after: Option<Timestamp>,
}

impl Feed {
    /// Read on from where it is.
    async fn read(&mut self, limit: usize, bytes_max: usize) -> Answer<Changes> {
        let read = ReadChanges {
            model: self.model.clone(),
            after: self.after,
            filter: self.filter,
            limit,
            bytes_max,
        };
        let changes = self.app.control.read_changes(read).await?;
        self.after = Some(changes.next);
        Ok(changes)
    }

    /// Whether a record is to be shown.
    fn shows(&self, record: &Record) -> bool {
        self.modified_after
            .is_none_or(|at| record.last_modified_at >= at)
    }

    /// One page, waited for if there is nothing.
    pub(super) async fn page(mut self, limit: usize, wait: Duration) -> Answer<Response> {
        let until = Instant::now() + wait;
        let bytes_max = usize::try_from(API_PAGE_BYTES).unwrap_or(usize::MAX);
        loop {
            let mut commits = self.app.control.watch(&self.model.connection);
            let changes = self.read(limit, bytes_max).await?;
            let any = changes.records.iter().any(|record| self.shows(record));
            if any || changes.more || !self.wait(&mut commits, until).await {
                return self.write_page(&changes);
            }
        }
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
            () = self.app.stopped() => false,
        }
    }

    fn write_page(&self, changes: &Changes) -> Answer<Response> {
        let mut out = Vec::with_capacity(256 + room(changes));
        out.extend_from_slice(b"{\"records\":[");
        let shown = changes.records.iter().filter(|record| self.shows(record));
        for (number, record) in shown.enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_record(&mut out, record, changes.cursor_after(record))?;
        }
        let (next, more) = (changes.next, changes.more);
        write!(out, "],\"next_cursor\":\"{next}\",\"more\":{more}}}")?;
        Ok(json(out))
    }
}

/// The records with these ids, those that are there, each once, in the order asked. There is no next page.
pub(super) async fn by_ids(app: &App, model: &ModelKey, ids: &[String]) -> Answer<Response> {
    let read = ReadChanges {
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
    // A few at a time, so that it is known in time when it is too much.
    for ids in ids.chunks(IDS_AT_ONCE) {
        let records = app.control.records(model, ids).await?;
        for record in records.iter().flatten() {
            bytes += record.body.as_ref().map_or(0, String::len) as u64;
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
    }
    out.extend_from_slice(b"],\"next_cursor\":null,\"more\":false}");
    Ok(json(out))
}

/// The rest of a feed as lines, and a last line that says where it ended.
pub(super) struct Rest {
    feed: Feed,
    /// What was read before the answer began, so that a problem with it is the answer.
    first: Option<Changes>,
    ended: bool,
}

impl Rest {
    pub(super) async fn begin(mut feed: Feed) -> Answer<Self> {
        let first = feed.read(PART_RECORDS, PART_BYTES).await?;
        Ok(Self {
            feed,
            first: Some(first),
            ended: false,
        })
    }
}

impl Source for Rest {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let changes = match self.first.take() {
            Some(first) => first,
            None => self.feed.read(PART_RECORDS, PART_BYTES).await?,
        };
        let mut out = Vec::with_capacity(256 + room(&changes));
        for record in changes
            .records
            .iter()
            .filter(|record| self.feed.shows(record))
        {
            write_record(&mut out, record, changes.cursor_after(record))?;
            out.push(b'\n');
        }
        // A server that stops ends the stream early: the last line says so.
        let stopping = *self.feed.app.stopping.borrow();
        if !changes.more || stopping {
            self.ended = true;
            let (next, more) = (changes.next, changes.more);
            writeln!(out, "{{\"next_cursor\":\"{next}\",\"more\":{more}}}")?;
        }
        Ok(Some(out.into()))
    }
}

/// The rest of a feed as events, and what comes after it.
pub(super) struct Following {
    feed: Feed,
    first: Option<Changes>,
    commits: watch::Receiver<()>,
}

impl Following {
    pub(super) async fn begin(mut feed: Feed) -> Answer<Self> {
        let commits = feed.app.control.watch(&feed.model.connection);
        let first = feed.read(PART_RECORDS, PART_BYTES).await?;
        Ok(Self {
            feed,
            first: Some(first),
            commits,
        })
    }
}

impl Source for Following {
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        let quiet_until = Instant::now() + HEARTBEAT;
        loop {
            let changes = match self.first.take() {
                Some(first) => first,
                None => self.feed.read(PART_RECORDS, PART_BYTES).await?,
            };
            let mut out = Vec::with_capacity(room(&changes));
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
                return Ok(Some(out.into()));
            }
            if changes.more {
                continue;
            }
            if *self.feed.app.stopping.borrow() {
                return Ok(None);
            }
            if !self.feed.wait(&mut self.commits, quiet_until).await {
                return match *self.feed.app.stopping.borrow() {
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
        .map(|record| record.body.as_ref().map_or(0, String::len) + record.id.len() + 256);
    bodies.sum()
}

fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
