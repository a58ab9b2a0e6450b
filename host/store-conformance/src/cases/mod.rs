//! What each command promises, case by case, on the memory store and on a backend.

pub mod connections;
pub mod due;
pub mod early;
pub mod feeds;
pub mod keyed;
pub mod keyed_jobs;
pub mod lists;
pub mod passes;
pub mod records;
pub mod runs;
pub mod snapshots;
pub mod told_retries;
pub mod webhooks;

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

use crate::Backend;
use crate::fixtures::*;

/// Run a test on the reference, and on the backend.
fn on_both<B: Backend>(backend: &B, test: impl AsyncFn(&dyn Store)) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stores: [Box<dyn Store>; 2] = [
            Box::new(MemoryStore::default()),
            Box::new(backend.open(dir.path())),
        ];
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
