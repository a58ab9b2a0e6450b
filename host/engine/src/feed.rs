//! Reading a change feed: what is asked, and a page of it.

use serde::{Deserialize, Serialize};

use crate::ModelKey;
use crate::cursor::Cursor;
use crate::record::{Action, Record};

/// Which actions a reader wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionFilter {
    pub added: bool,
    pub updated: bool,
    pub deleted: bool,
}

impl ActionFilter {
    /// Everything.
    pub const ALL: Self = Self {
        added: true,
        updated: true,
        deleted: true,
    };

    /// Whether `action` passes.
    #[must_use]
    pub fn matches(self, action: Action) -> bool {
        match action {
            Action::Added => self.added,
            Action::Updated => self.updated,
            Action::Deleted => self.deleted,
        }
    }
}

/// A read of so many records, or fewer, is a small one: however many large ones go on, it waits for none of them.
pub const SMALL_READ: usize = 200;

/// A read of a change feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadChanges {
    pub model: ModelKey,
    /// `None` reads from the start.
    pub after: Option<Cursor>,
    pub filter: ActionFilter,
    /// At most this many records, at least 1.
    pub limit: usize,
    /// Stop after the record that reaches this many bytes of bodies.
    pub bytes_max: usize,
}

/// A page of a change feed, oldest first, each record once in its latest state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub records: Vec<Record>,
    /// Where to go on. Moves even when the filter left nothing.
    pub next: Cursor,
    /// Whether there was more when this was read.
    pub more: bool,
    /// The sequence of the feed's last change when this was read.
    pub newest: u64,
}

impl Changes {
    /// The cursor just after `record` of this page.
    #[must_use]
    pub fn cursor_after(&self, record: &Record) -> Cursor {
        Cursor {
            seq: record.seq,
            ..self.next
        }
    }
}
