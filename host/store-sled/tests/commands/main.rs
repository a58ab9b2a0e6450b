//! What each command promises, case by case, on both backends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod due;
mod early;
mod feeds;
mod keyed;
mod keyed_jobs;
mod lists;
mod passes;
mod records;
mod runs;
mod snapshots;
mod told_retries;
mod webhooks;

use tidegate_engine::cursor::{Cursor, CursorError};
use tidegate_engine::record::{Action, Counts, PageError};
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Figures, Level, LogLine, LogSource, Outcome, Target,
};
use tidegate_engine::store::{
    ActionFilter, EndSnapshot, Ended, ModelStats, Proof, RunFilter, SnapshotGuard, SnapshotRefusal,
};
use tidegate_engine::{Store, StoreError, Timestamp};
use tidegate_store_memory::MemoryStore;

use common::*;

/// Run a test on each backend.
fn on_both(test: impl AsyncFn(&dyn Store)) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stores: [Box<dyn Store>; 2] =
            [Box::new(MemoryStore::default()), Box::new(open(dir.path()))];
        for store in &stores {
            set_up(store.as_ref()).await;
            test(store.as_ref()).await;
        }
    });
}

async fn feed(store: &dyn Store) -> Vec<(String, Action, u64)> {
    let changes = store
        .read_changes(read(model("acme", "Contact")))
        .await
        .unwrap();
    changes
        .records
        .into_iter()
        .map(|r| (r.id, r.action, r.seq))
        .collect()
}
