//! A run's bounded log: what the plugin logs and prints, and what the host says about the run.
//!
//! The first half of the lines is written as it comes, the second half is a ring of the last
//! ones; what falls out between is counted. So a plugin that logs without end keeps both its
//! beginning and its end, and costs a bounded amount of memory: each half holds half of
//! `log_held_bytes`, however many lines that are.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tidegate_engine::limits::{LOG_HELD_BYTES, Limits};
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::run::{Level, LogLine, LogSource};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::observer::Observer;
use crate::stdio::Sink;

/// Most bytes that a line's fields may have: they are stored beside the message.
const FIELDS_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of a message that are searched for secrets before it is cut, if a line is shorter than half of it.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Most bytes of the lines that wait to be stored, and of the ring, each.
const HALF_HELD_BYTES_MAX: u64 = LOG_HELD_BYTES / 2;

/// What a line takes beside its texts.
const LINE_BYTES: u64 = 128;

/// Handle of one run's log; clones share it.
#[derive(Clone)]
pub(crate) struct RunLog {
    inner: Arc<Mutex<Inner>>,
    /// Told of each line that is pending.
    written: Arc<Notify>,
    clock: Clock,
    observer: Arc<dyn Observer>,
    line_bytes_max: usize,
    /// What no line may hold.
    secrets: SecretTexts,
}

struct Inner {
    next_index: u64,
    /// Lines of the first half that are not stored yet.
    pending: Vec<LogLine>,
    pending_bytes: u64,
    ring: VecDeque<LogLine>,
    ring_bytes: u64,
    half: u64,
    dropped: u64,
}

impl Inner {
    /// Make room in the ring for one more line.
    fn make_room(&mut self, bytes: u64) {
        let is_full = |inner: &Self| {
            inner.ring.len() as u64 >= inner.half || inner.ring_bytes + bytes > HALF_HELD_BYTES_MAX
        };
        while is_full(self) {
            let Some(oldest) = self.ring.pop_front() else {
                return;
            };
            self.ring_bytes -= held_bytes(&oldest);
            self.dropped += 1;
        }
    }
}

/// What a line takes in memory, about: its fields are bounded, and a parsed text of them is larger.
fn held_bytes(line: &LogLine) -> u64 {
    let fields = match &line.fields {
        Some(fields) => fields.to_string().len() * 2,
        None => 0,
    };
    LINE_BYTES + (line.message.len() + fields) as u64
}

impl RunLog {
    pub(crate) fn new(
        limits: &Limits,
        clock: Clock,
        observer: Arc<dyn Observer>,
        secrets: SecretTexts,
    ) -> Self {
        let inner = Inner {
            next_index: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            half: (limits.log_lines / 2).max(1),
            dropped: 0,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            written: Arc::default(),
            clock,
            observer,
            line_bytes_max: usize::try_from(limits.log_line_bytes).unwrap_or(usize::MAX),
            secrets,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Tell the observer that records were committed.
    pub(crate) fn committed(&self) {
        self.observer.committed();
    }

    /// Add a line, without secrets; a message or fields that are too long are cut, and say so.
    pub(crate) fn write(&self, level: Level, source: LogSource, message: &str, fields: &str) {
        let redactor = self.secrets.redactor();
        // Before it is cut, which could leave a part of one.
        let most = self
            .line_bytes_max
            .saturating_mul(2)
            .max(message.len().min(READ_BYTES_MAX));
        let (head, rest) = message.split_at(message.floor_char_boundary(most));
        let mut message = cut(&redactor.text(head), rest.len(), self.line_bytes_max);
        let fields = if fields.is_empty() || fields == "{}" {
            None
        } else if fields.len() > FIELDS_BYTES_MAX {
            message.push_str(" … (fields too long, left out)");
            None
        } else {
            let fields = redactor.json(fields);
            match serde_json::from_str::<Value>(&fields) {
                Ok(value @ Value::Object(_)) => Some(value),
                _ => Some(Value::String(fields.into_owned())),
            }
        };
        let mut inner = self.lock();
        let line = LogLine {
            index: inner.next_index,
            at: self.clock.now(),
            level,
            source,
            message,
            fields,
        };
        inner.next_index += 1;
        let bytes = held_bytes(&line);
        // Once one line has gone to the ring, all go there: they are stored in their order.
        let is_first = line.index < inner.half && inner.ring.is_empty() && inner.dropped == 0;
        if is_first && inner.pending_bytes + bytes <= HALF_HELD_BYTES_MAX {
            self.observer.log(&line);
            inner.pending.push(line);
            inner.pending_bytes += bytes;
            self.written.notify_one();
            return;
        }
        inner.make_room(bytes);
        inner.ring_bytes += bytes;
        inner.ring.push_back(line);
    }

    /// What the host says about the run.
    pub(crate) fn host(&self, level: Level, message: &str) {
        self.write(level, LogSource::Host, message, "");
    }

    /// Wait until a line was written that is not stored yet.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    /// Lines of the first half that are not stored yet.
    pub(crate) fn take_pending(&self) -> Vec<LogLine> {
        let mut inner = self.lock();
        inner.pending_bytes = 0;
        std::mem::take(&mut inner.pending)
    }

    /// Everything that is left, once the run is over, and how many lines were kept and dropped.
    pub(crate) fn finish(&self) -> (Vec<LogLine>, u64, u64) {
        let mut inner = self.lock();
        let mut lines = std::mem::take(&mut inner.pending);
        let dropped = inner.dropped;
        if let (true, Some(first)) = (dropped > 0, inner.ring.front()) {
            lines.push(LogLine {
                index: first.index - 1,
                at: first.at,
                level: Level::Warn,
                source: LogSource::Host,
                message: format!(
                    "{dropped} lines dropped here: the limit {} was reached",
                    match inner.next_index > inner.half * 2 {
                        true => "log_lines",
                        false => "log_held_bytes",
                    }
                ),
                fields: None,
            });
        }
        for line in inner.ring.drain(..) {
            self.observer.log(&line);
            lines.push(line);
        }
        (lines, inner.next_index - dropped, dropped)
    }
}

/// At most so many bytes of a message of which `left_out` more were not looked at.
pub(crate) fn cut(message: &str, left_out: usize, bytes_max: usize) -> String {
    if message.len() <= bytes_max && left_out == 0 {
        return message.to_owned();
    }
    let bytes_max = bytes_max.min(message.len());
    let end = (0..=bytes_max)
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    let kept = message.get(..end).unwrap_or_default();
    format!("{kept} … ({} bytes cut)", message.len() - end + left_out)
}

/// A guest's stdout or stderr, as lines of the run's log.
#[derive(Clone)]
pub(crate) struct Lines {
    log: RunLog,
    level: Level,
    source: LogSource,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    pub(crate) fn stdout(log: &RunLog) -> Self {
        Self {
            log: log.clone(),
            level: Level::Info,
            source: LogSource::Stdout,
            partial: Arc::default(),
        }
    }

    pub(crate) fn stderr(log: &RunLog) -> Self {
        Self {
            log: log.clone(),
            level: Level::Warn,
            source: LogSource::Stderr,
            partial: Arc::default(),
        }
    }

    /// Write the line that has no end yet: the run is over.
    pub(crate) fn flush_partial(&self) {
        let mut partial = self.partial.lock();
        self.emit(&partial);
        partial.clear();
    }

    fn emit(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if !line.is_empty() {
            self.log.write(self.level, self.source, line, "");
        }
    }
}

impl Sink for Lines {
    fn take(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock();
        for byte in bytes {
            if *byte == b'\n' {
                self.emit(&partial);
                partial.clear();
            } else if partial.len() >= self.log.line_bytes_max {
                // A line without end is written in pieces, so that it can't grow without bound. A secret
                // that begins at the end of one is left whole for the next, unless it is so long that this
                // would be looked at for every further byte.
                let begun = self.log.secrets.redactor().unfinished(&partial);
                let end = match begun > partial.len() / 2 {
                    true => partial.len(),
                    false => partial.len() - begun,
                };
                self.emit(partial.get(..end).unwrap_or_default());
                partial.drain(..end);
            }
            if *byte != b'\n' {
                partial.push(*byte);
            }
        }
    }
}
