//! A consumer that follows the feed over all kills.

use tidegate_engine::StoreError;
use tidegate_engine::cursor::CursorError;
use tidegate_engine::store::ReadChanges;

use super::*;

#[derive(Default)]
pub(crate) struct Consumer {
    pub(crate) cursor: Option<Cursor>,
    /// When each record was modified and what happened to it, as last read.
    pub(crate) records: BTreeMap<String, (u64, String)>,
    /// When the last record that was read was modified.
    at: u64,
    pub(crate) pages: u64,
    pub(crate) expired: u64,
}

impl Consumer {
    /// Take in what the child printed that it read, given how far pruning was asked to go.
    pub(crate) fn learn(&mut self, words: &[&str], prune: u64) {
        match words {
            ["expired", "."] => self.restart(prune),
            ["read", next, changes @ .., "."] => {
                let next = next.parse().unwrap();
                for change in changes {
                    let (id, state) = change.split_once('=').unwrap();
                    let state: Vec<&str> = state.split(':').collect();
                    let (seq, modified) = (state[0].parse().unwrap(), state[1].parse().unwrap());
                    self.take(next, id, seq, modified, state[2], state[3] == "true");
                }
                self.cursor = Some(next);
                self.pages += 1;
            }
            _ => {}
        }
    }

    /// A body may be missing only where the consumer, who had begun at the start, was told so.
    fn take(
        &mut self,
        next: Cursor,
        id: &str,
        seq: u64,
        modified: u64,
        action: &str,
        has_body: bool,
    ) {
        assert!(
            has_body || action == "deleted" || seq <= next.pruned,
            "{id} at {seq} has no body, and the cursor is {next:?}"
        );
        self.at = modified;
        self.records.insert(id.into(), (modified, action.into()));
    }

    /// The cursor has expired: begin at the start.
    fn restart(&mut self, prune: u64) {
        assert!(
            prune > self.at,
            "a cursor at {} expired, and pruning was asked up to {prune}",
            self.at
        );
        self.expired += 1;
        self.cursor = None;
        self.records.clear();
    }

    /// Read on to the end of the feed.
    pub(crate) async fn catch_up(&mut self, store: &dyn Store, prune: u64) {
        loop {
            let read = ReadChanges {
                after: self.cursor,
                limit: 23,
                ..read(model("acme", "Contact"))
            };
            let changes = match store.read_changes(read).await {
                Err(StoreError::Cursor(CursorError::Expired)) => {
                    self.restart(prune);
                    continue;
                }
                changes => changes.unwrap(),
            };
            for record in changes.records {
                let (modified, action) = (record.last_modified_at.0, record.action.as_str());
                let has_body = record.body.is_some();
                self.take(
                    changes.next,
                    &record.id,
                    record.seq,
                    modified,
                    action,
                    has_body,
                );
            }
            self.cursor = Some(changes.next);
            if !changes.more {
                return;
            }
        }
    }
}
