//! The part of `records` that finds deletions: what a snapshot has not seen, and how it ends.

use std::sync::Arc;

use tidegate_contract::tidegate::plugin::records::{Error, Proof, SnapshotEnd, UnseenPage};
use tidegate_egress::Share;
use tidegate_engine::limits::UNSEEN_MAX;
use tidegate_engine::record::Counts;
use tidegate_engine::store;

use super::records::{checked_checkpoint, error, granted, invalid, is_elsewhere};
use crate::calls::unseen_bytes;
use crate::state::Live;

/// The ids, and what of the run's account they take.
pub(super) async fn unseen(
    live: &Arc<Live>,
    model: &str,
    after: u64,
    limit: u32,
) -> wasmtime::Result<(Result<UnseenPage, Error>, Option<Share>)> {
    let refused = |error| Ok((Err(error), None));
    let model = match granted(live, model) {
        Ok(model) => model,
        Err(error) => return refused(error),
    };
    if !(1..=UNSEEN_MAX).contains(&limit) {
        let message = format!("a limit of {limit} ids; it is 1 to {UNSEEN_MAX}");
        return refused(invalid(live, message));
    }
    let (found, held) = match live.calls.unseen(model, after, limit).await {
        Ok(found) => found,
        Err(refusal) => return refused(error(live, refusal)),
    };
    let share = live.hold_answer(held, unseen_bytes(&found)).await?;
    let page = UnseenPage {
        ids: found.ids,
        next: found.next,
        unseen: found.unseen,
        seen: found.seen,
    };
    Ok((Ok(page), Some(share)))
}

pub(super) async fn repeat(
    live: &Live,
    model: &str,
    checkpoint: Option<String>,
) -> Result<u64, Error> {
    let model = granted(live, model)?;
    let checkpoint = checked_checkpoint(live, checkpoint)?;
    let stored = CheckpointEffect::of(live, checkpoint.as_deref());
    let unseen = live.calls.repeat_snapshot(model, checkpoint).await;
    let unseen = unseen.map_err(|refusal| error(live, refusal))?;
    stored.note(live);
    Ok(unseen)
}

pub(super) async fn end(
    live: &Live,
    model: &str,
    proof: Proof,
    checkpoint: Option<String>,
) -> Result<SnapshotEnd, Error> {
    let model = granted(live, model)?;
    let checkpoint = checked_checkpoint(live, checkpoint)?;
    let stored = CheckpointEffect::of(live, checkpoint.as_deref());
    let proof = match proof {
        Proof::None => store::Proof::None,
        Proof::OneAnswer => store::Proof::OneAnswer,
        Proof::TwoPasses => store::Proof::TwoPasses,
    };
    let calls = &live.calls;
    let ended = calls.end_snapshot(model.clone(), proof, checkpoint).await;
    let ended = ended.map_err(|refusal| error(live, refusal))?;
    stored.note(live);
    live.meter.committed(
        &model,
        Counts {
            deleted: ended.deleted,
            ..Counts::default()
        },
    );
    Ok(SnapshotEnd {
        deleted: ended.deleted,
        kept: ended.kept,
    })
}

/// What a stored checkpoint means for the run.
struct CheckpointEffect {
    advances: bool,
    moves: bool,
}

impl CheckpointEffect {
    fn of(live: &Live, checkpoint: Option<&str>) -> Self {
        CheckpointEffect {
            advances: checkpoint.is_some(),
            moves: is_elsewhere(live, checkpoint),
        }
    }

    /// It is stored.
    fn note(&self, live: &Live) {
        live.note(|notes| notes.advanced |= self.advances);
        if self.moves {
            live.calls.rest.arrive();
        }
        live.meter.commit_done();
        live.log.committed();
    }
}
