//! What a sync that begins with nothing does first: delete all records of its models, as a full pull that found
//! none would.

use tidegate_engine::record::Counts;
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{EndSnapshot, Proof, SnapshotGuard};
use tidegate_engine::{Name, StoreError};
use tidegate_runtime::Meter;

use super::local::Local;

/// Somebody has asked for it.
const EVERYTHING: SnapshotGuard = SnapshotGuard {
    max_share_percent: 100,
    allow_all: true,
};

/// Each model is emptied in one step, which the change feed tells of. Repeating it after a crash goes on.
pub(super) async fn models(
    local: &Local,
    run: RunId,
    fence: Fence,
    models: &[Name],
    meter: &Meter,
) -> Result<(), StoreError> {
    for model in models {
        local.store.begin_snapshot(run, fence, model, true).await?;
        let end = EndSnapshot {
            proof: Proof::OneAnswer,
            guard: EVERYTHING,
            checkpoint: None,
            now: local.clock.now(),
        };
        let ended = local.store.end_snapshot(run, fence, model, end);
        let deleted = ended.await?.deleted;
        if deleted > 0 {
            let counts = Counts {
                deleted,
                ..Counts::default()
            };
            meter.committed(model, counts);
        }
    }
    Ok(())
}
