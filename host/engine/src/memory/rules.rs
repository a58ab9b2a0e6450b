//! What every backend decides alike, as functions of what is stored and what comes in.
//!
//! They live beside the memory store because it is their plainest user; other backends call them
//! too, so that a rule is written once.

use serde_json::{Map, Value};

use crate::api_key::ApiKey;
use crate::canonical::BodyHash;
use crate::cursor::{Cursor, CursorError};
use crate::health::{Health, Hold};
use crate::idempotency::KeyUse;
use crate::integration::{Connection, Deployment, Integration, NewDeployment};
use crate::job::{Job, JobTarget, NewJob};
use crate::limits::API_KEYS;
use crate::metadata;
use crate::record::{self, Counts, Page, PageError, Save};
use crate::run::{
    Basis, Blame, Failure, FailureClass, Fence, Figures, NewRun, Outcome, Run, RunEnd, RunId,
    Target,
};
use crate::store::StoreError;
use crate::{ConnectionKey, Name, Timestamp};

/// A connection after the end of a run of it, whose job goes on or not; `None` if that changes nothing.
#[must_use]
pub fn connection_after(
    stored: &Connection,
    target: &Target,
    end: &RunEnd,
    goes_on: bool,
) -> Option<Connection> {
    let health = stored.health.after(target, end, goes_on)?;
    Some(with_health(stored, health))
}

/// A connection after a deployment of `integration`: nothing of its own is held any more, and of others nothing
/// that waits for config or grants, as they may read its feeds. `None` if that changes nothing.
#[must_use]
pub fn connection_deployed(stored: &Connection, integration: &Name) -> Option<Connection> {
    let hold = match stored.key.integration == *integration {
        true => None,
        false => Some(Hold::ConfigFailed),
    };
    let health = stored.health.without(hold)?;
    Some(with_health(stored, health))
}

/// It is a change like others: an update that has not seen it is made again on top.
fn with_health(stored: &Connection, health: Health) -> Connection {
    Connection {
        health,
        revision: stored.revision.wrapping_add(1),
        ..stored.clone()
    }
}

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
    Ok(metadata::merged(&connection.metadata, patch, bytes_max)?)
}

/// The row of a run that just started, from this checkpoint if it is a sync's.
#[must_use]
pub fn started(new: NewRun, fence: Fence, checkpoint: Option<&str>) -> Run {
    let basis = matches!(new.target, Target::Sync(_)).then(|| Basis::of(checkpoint));
    Run {
        basis,
        id: new.id,
        target: new.target,
        plugin: new.plugin,
        plugin_version: new.plugin_version,
        trigger: new.trigger,
        attempt: new.attempt,
        job: new.job,
        reset: new.reset,
        started_at: new.now,
        fence,
        progress: Figures::default(),
        end: None,
    }
}

/// The run of a job that was claimed.
#[must_use]
pub fn run_of(job: &Job, run: RunId, current: &Deployment, now: Timestamp) -> NewRun {
    let is_first = job.outcome.is_none();
    NewRun {
        id: run,
        target: job.target.run_target(),
        plugin: current.digest,
        plugin_version: current.manifest.version.to_string(),
        trigger: job.trigger,
        attempt: job.attempts + 1,
        job: Some(job.id),
        reset: is_first && matches!(job.target, JobTarget::Sync { reset: true, .. }),
        now,
    }
}

/// A job that is there already, for somebody who wants to queue `new` under its id.
pub fn same_job(job: &Job, new: &NewJob) -> Result<Job, StoreError> {
    if job.target == new.target {
        return Ok(job.clone());
    }
    Err(StoreError::Exists {
        what: "job",
        name: job.id.to_string(),
    })
}

/// The action that a run to be started under an idempotency key is of.
pub fn action_of(new: &NewRun) -> Result<(&ConnectionKey, &Name), StoreError> {
    match &new.target {
        Target::Action { connection, action } => Ok((connection, action)),
        other => Err(StoreError::NotFound {
            what: "action that is run by",
            name: format!("{} {}", other.kind(), other.name()),
        }),
    }
}

/// The action that a job to be queued under an idempotency key is of.
pub fn action_of_job(target: &JobTarget) -> Result<(&ConnectionKey, &Name), StoreError> {
    match target {
        JobTarget::Action {
            connection, action, ..
        } => Ok((connection, action)),
        JobTarget::Sync { .. } | JobTarget::Event { .. } => Err(StoreError::NotFound {
            what: "action that is run by",
            name: format!("{} {}", target.kind(), target.name()),
        }),
    }
}

/// The key that a job holds, for its input; `None` if it holds none.
pub fn key_of_job(job: &Job) -> Result<Option<KeyUse>, StoreError> {
    let key = job.idempotency_key.clone().filter(|_| job.holds_key);
    let (Some(key), Some(input)) = (key, job.target.input()) else {
        return Ok(None);
    };
    let used = KeyUse::new(key, input).map_err(|error| StoreError::Damaged {
        place: job.id.to_string(),
        reason: format!("its input can't be compared: {error}"),
    })?;
    Ok(Some(used))
}

/// Whether a connection that has so many idempotency keys may have another.
pub fn check_room(connection: &ConnectionKey, keys: u64, most: u64) -> Result<(), StoreError> {
    if keys < most {
        return Ok(());
    }
    let connection = connection.clone();
    Err(StoreError::ManyKeys { connection, keys })
}

/// Whether there is room for another request of an API key that has so many.
pub fn check_request_room(requests: u64, most: u64) -> Result<(), StoreError> {
    if requests < most {
        return Ok(());
    }
    Err(StoreError::Full {
        what: "requests under idempotency keys of the last 24 hours, of this API key",
        limit: "api_idempotency_keys",
        most,
    })
}

/// Whether `key` is to be kept, given what its id stands for and how many keys there are; `false` if it
/// is there just so.
pub fn is_new_api_key(
    stored: Option<&ApiKey>,
    key: &ApiKey,
    count: usize,
) -> Result<bool, StoreError> {
    match stored {
        Some(stored) if stored == key => Ok(false),
        Some(_) => Err(StoreError::Exists {
            what: "API key",
            name: key.id.to_string(),
        }),
        None if count as u64 >= API_KEYS => Err(StoreError::Full {
            what: "API keys",
            limit: "api_keys",
            most: API_KEYS,
        }),
        None => Ok(true),
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

/// The end of a run whose connection is being removed.
#[must_use]
pub fn removed(figures: Figures, now: Timestamp) -> RunEnd {
    let message = "its connection was removed while it ran";
    RunEnd {
        at: now,
        outcome: Outcome::Cancelled,
        failure: Some(Failure::new(FailureClass::Other, Blame::Operator, message)),
        figures,
    }
}

/// The hashes of a page's bodies: of a page that was not prepared, they are made now.
pub fn hash_page(page: &mut Page) -> Result<Vec<BodyHash>, PageError> {
    let hash = |save: &mut Save| match save.hash {
        Some(hash) => Ok(hash),
        None => record::check_body(&page.model, save),
    };
    page.save.iter_mut().map(hash).collect()
}

/// What reading needs to know of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedEnd {
    pub store: u64,
    /// The number of the feed; 0 for a model that nothing was ever saved of.
    pub feed: u64,
    pub last_seq: u64,
    /// The highest sequence of an entry, not a deletion, whose body retention removed.
    pub pruned_seq: u64,
}

impl FeedEnd {
    /// The cursor of whoever has read everything.
    #[must_use]
    pub fn cursor(self) -> Cursor {
        Cursor {
            store: self.store,
            feed: self.feed,
            seq: self.last_seq,
            pruned: self.pruned_seq,
        }
    }
}

/// Where a read of a feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPosition {
    store: u64,
    feed: u64,
    /// The sequence of the last entry that was read.
    pub seq: u64,
    /// See [`Cursor::pruned`].
    known: u64,
    from_start: bool,
}

/// Where to begin to read a feed.
///
/// A model that nothing was ever saved of has no feed yet; its readers get a cursor with the feed
/// 0, which means the start of whatever feed comes to be.
///
/// Who begins at the start gets what pruning left, and knows how far pruning has come. Who goes on
/// from a cursor expects the body of everything after it: once pruning has passed the cursor, it
/// expires. So nobody misses a body without being told.
pub fn start_of(cursor: Option<Cursor>, end: FeedEnd) -> Result<FeedPosition, CursorError> {
    let from_start = FeedPosition {
        store: end.store,
        feed: end.feed,
        seq: 0,
        known: end.pruned_seq,
        from_start: true,
    };
    let Some(cursor) = cursor else {
        return Ok(from_start);
    };
    if cursor.store != end.store {
        return Err(CursorError::OtherStore);
    }
    if cursor.feed == 0 && cursor.seq == 0 {
        return Ok(from_start);
    }
    if cursor.feed != end.feed {
        return Err(CursorError::OtherFeed);
    }
    if cursor.seq > end.last_seq {
        return Err(CursorError::Ahead);
    }
    if cursor.seq == 0 {
        return Ok(from_start);
    }
    if cursor.seq < end.pruned_seq && cursor.pruned < end.pruned_seq {
        return Err(CursorError::Expired);
    }
    Ok(FeedPosition {
        seq: cursor.seq,
        known: cursor.pruned,
        from_start: false,
        ..from_start
    })
}

impl FeedPosition {
    /// Go past an entry that has no body and is no deletion. A backend that prunes while others
    /// read may meet one that the end of the feed did not tell of.
    pub fn pass_pruned(&mut self, seq: u64) -> Result<(), CursorError> {
        if seq > self.known && !self.from_start {
            return Err(CursorError::Expired);
        }
        self.known = self.known.max(seq);
        Ok(())
    }

    /// The cursor of this place, given how far pruning has come.
    #[must_use]
    pub fn cursor(&self, pruned_seq: u64) -> Cursor {
        let passed = if self.seq >= pruned_seq {
            pruned_seq
        } else {
            0
        };
        Cursor {
            store: self.store,
            feed: self.feed,
            seq: self.seq,
            pruned: self.known.max(passed),
        }
    }
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
