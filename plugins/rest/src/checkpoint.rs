//! What is stored between runs, and with each page of a pull.

use std::collections::BTreeSet;

use tidegate_sdk::Pass;
use tidegate_sdk::prelude::*;

use crate::incremental::Mark;
use crate::paging::{Counted, Place};
use crate::plan::Plan;

/// How far the outside API has been read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Everything up to here is stored. Moves only when a pull is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Mark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<Etag>,
    /// When the last full pull ended, in Unix milliseconds; kept when they are due regularly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) full_at: Option<u64>,
    /// How many pulls in a row may have missed records, so that the mark stayed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) stays: u32,
    /// Ids that came more than once in a pull, each in a version of its own.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) twice: BTreeSet<String>,
    /// A pull that is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<Pull>,
}

/// The `ETag` of a whole pull's only page, and the request it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Etag {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    pub(crate) value: String,
}

/// A pull under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pull {
    /// The page to ask for next.
    pub(crate) at: Place,
    /// What the mark is to be, by the pages so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<Mark>,
    /// When it began, by the server's clock, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) begun: Option<i64>,
    /// It asks for everything, whatever the mark.
    pub(crate) full: bool,
    /// What it does not see may be deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) deletes: bool,
    /// How far the snapshot is that is open for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pass: Option<Pass>,
    /// The origin of the list: a place at another one means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    #[serde(default)]
    pub(crate) counted: Counted,
    /// Why it may have missed records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lossy: Option<String>,
    /// How often the list was read before this time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) reading: u32,
    /// Ids that came more than once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) twice: BTreeSet<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Checkpoint {
    /// The stored one, without what a config that has changed since can't use.
    pub(crate) fn load(cx: &Cx, plan: &Plan) -> Result<Self> {
        let mut checkpoint: Checkpoint = cx.checkpoint()?.unwrap_or_default();
        let fits = |mark: &Option<Mark>| match (&plan.incremental, mark) {
            (_, None) => true,
            (Some(incremental), Some(mark)) => incremental.fits(mark),
            (None, Some(_)) => false,
        };
        if !fits(&checkpoint.mark) {
            warn!(
                "`models.{}.incremental` has changed: pulling everything",
                plan.model
            );
            return Ok(Checkpoint::default());
        }
        if let Some(pull) = &checkpoint.pull
            && !(plan.paging.fits(&pull.at) && fits(&pull.found))
        {
            warn!(
                "`models.{}.pagination` has changed: the unfinished pull starts over",
                plan.model
            );
            checkpoint.pull = None;
        }
        Ok(checkpoint)
    }
}
