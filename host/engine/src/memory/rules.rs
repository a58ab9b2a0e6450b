//! What every backend decides alike, as functions of what is stored and what comes in.
//!
//! They live beside the memory store because it is their plainest user; other backends call them
//! too, so that a rule is written once.

use serde_json::{Map, Value};

use crate::Name;
use crate::Timestamp;
use crate::canonical::{self, BodyHash};
use crate::cursor::{Cursor, CursorError};
use crate::integration::{Connection, Deployment, Integration, NewDeployment, merge};
use crate::record::{Counts, Page, PageError, Save};
use crate::run::{Failure, Fence, Figures, NewRun, Outcome, Run, RunEnd};
use crate::store::StoreError;

/// What an integration is after deploying `new` over `old`. The same deployment again, as when its
/// answer was lost, changes nothing.
#[must_use]
pub fn deployed(old: Option<&Integration>, new: &NewDeployment) -> Integration {
    let deployment = |number| Deployment {
        number,
        digest: new.digest,
        manifest: new.manifest.clone(),
        grants: new.grants.clone(),
        config: new.config.clone(),
        deployed_at: new.now,
    };
    let Some(old) = old else {
        return Integration {
            name: new.integration.clone(),
            current: deployment(1),
            earlier: vec![],
        };
    };
    if deployment(old.current.number) == old.current {
        return old.clone();
    }
    let mut earlier = vec![old.current.clone()];
    earlier.extend(old.earlier.iter().take(Integration::KEPT - 1).cloned());
    Integration {
        name: old.name.clone(),
        current: deployment(old.current.number + 1),
        earlier,
    }
}

/// The metadata of `connection` with `patch` merged in, if it is not too long then.
pub fn merged_metadata(
    connection: &Connection,
    patch: &Map<String, Value>,
    bytes_max: usize,
) -> Result<Map<String, Value>, StoreError> {
    let mut metadata = connection.metadata.clone();
    merge(&mut metadata, patch);
    let bytes = serde_json::to_string(&metadata).map_or(usize::MAX, |text| text.len());
    if bytes > bytes_max {
        return Err(PageError::LongMetadata {
            bytes,
            max: bytes_max,
        }
        .into());
    }
    Ok(metadata)
}

/// The row of a run that just started.
#[must_use]
pub fn started(new: NewRun, fence: Fence) -> Run {
    Run {
        id: new.id,
        target: new.target,
        plugin: new.plugin,
        plugin_version: new.plugin_version,
        trigger: new.trigger,
        attempt: new.attempt,
        reset: new.reset,
        started_at: new.now,
        fence,
        progress: Figures::default(),
        end: None,
    }
}

/// The end of a run whose process is gone.
#[must_use]
pub fn interrupted(run: &Run, why: &Failure, now: Timestamp) -> RunEnd {
    RunEnd {
        at: now,
        outcome: Outcome::Interrupted,
        failure: Some(why.clone()),
        figures: run.progress.clone(),
    }
}

/// The hashes of a page's bodies.
pub fn hash_page(page: &Page) -> Result<Vec<BodyHash>, PageError> {
    let hash = |save: &Save| {
        canonical::hash(&save.body).map_err(|error| PageError::Body {
            model: page.model.clone(),
            id: save.id.clone(),
            reason: error.to_string(),
        })
    };
    page.save.iter().map(hash).collect()
}

/// The sequence after which to read the feed `number`, whose last sequence is `last_seq`.
///
/// A model that nothing was ever saved of has no feed yet; its readers get a cursor with the feed
/// 0, which means the start of whatever feed comes to be.
pub fn start_of(
    cursor: Option<Cursor>,
    store: u64,
    number: u64,
    last_seq: u64,
) -> Result<u64, CursorError> {
    let Some(cursor) = cursor else { return Ok(0) };
    if cursor.store != store {
        return Err(CursorError::OtherStore);
    }
    if cursor.feed == 0 && cursor.seq == 0 {
        return Ok(0);
    }
    if cursor.feed != number {
        return Err(CursorError::OtherFeed);
    }
    if cursor.seq > last_seq {
        return Err(CursorError::Ahead);
    }
    Ok(cursor.seq)
}

/// Put a commit's figures over a run's progress: `commits` and `counts` add up, the others are the
/// run's totals already.
pub fn add_progress<'a>(
    progress: &mut Figures,
    new: &Figures,
    counts: impl Iterator<Item = (&'a Name, &'a Counts)>,
) {
    let commits = progress.commits + 1;
    let mut sums = std::mem::take(&mut progress.counts);
    for (model, counts) in counts {
        sums.entry(model.clone()).or_default().add(*counts);
    }
    *progress = Figures {
        commits,
        counts: sums,
        ..new.clone()
    };
}
