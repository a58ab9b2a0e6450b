//! Storing the changes of a page, in as many commits as their size asks for.

use tidegate_sdk::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::page::{Changes, Skip};
use crate::plan::Plan;

/// The contract's limits of a commit.
const RECORDS_MAX: usize = 10_000;
const BODIES_MAX: usize = 16 * 1024 * 1024;

/// Store these changes, and the checkpoint with the last of them.
pub(crate) async fn commit(
    cx: &Cx,
    plan: &Plan,
    changes: Changes<'_>,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let mut page = Parts::new(cx, plan);
    for id in changes.delete {
        page.make_room(0).await?;
        page.commit.delete(id);
    }
    for (id, body) in changes.again {
        page.save(id, body).await?;
    }
    let mut skip = changes.skip;
    match &plan.detail {
        None => {
            for record in changes.save {
                page.save(record.id, record.body.get().to_owned()).await?;
            }
        }
        Some(detail) => {
            let details = detail.fetch(cx, plan, changes.save).await?;
            for (id, body) in details.save {
                page.save(id, body).await?;
            }
            skip.extend(details.skip);
        }
    }
    for Skip {
        id,
        position,
        reason,
    } in skip
    {
        page.make_room(0).await?;
        page.commit.skip_at(position, id.as_deref(), reason);
    }
    page.commit.checkpoint(checkpoint)?.commit().await?;
    Ok(())
}

/// A page that is committed in parts when it is beyond the limits. (A part that was stored before
/// a kill comes again with its page, and is unchanged then.)
struct Parts {
    commit: tidegate_sdk::Commit,
    bodies: usize,
}

impl Parts {
    fn new(cx: &Cx, plan: &Plan) -> Self {
        Parts {
            commit: cx.batch(&plan.model),
            bodies: 0,
        }
    }

    async fn save(&mut self, id: String, body: String) -> Result<()> {
        self.make_room(body.len()).await?;
        self.bodies += body.len();
        self.commit.save_json(id, body);
        Ok(())
    }

    /// Commit what is there when one more record of this size would be too much.
    async fn make_room(&mut self, bytes: usize) -> Result<()> {
        let full = self.commit.len() >= RECORDS_MAX || self.bodies + bytes > BODIES_MAX;
        if full && !self.commit.is_empty() {
            self.commit.commit().await?;
            self.bodies = 0;
        }
        Ok(())
    }
}
