//! The commands of schedules and their fires.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::board::Fired;
use crate::job::JobState;
use crate::schedule::{Definition, Fire, Origin, Pause, Schedule, ScheduleId};
use crate::{ConnectionKey, Name, StoreError, Timestamp};

/// A schedule to make or to change.
#[derive(Debug, Clone, PartialEq)]
pub struct PutSchedule {
    /// Of a new one, unless its dedup key is known.
    pub id: ScheduleId,
    pub definition: Definition,
    pub origin: Origin,
    /// Change it only if this is its present revision.
    pub revision: Option<u64>,
    pub now: Timestamp,
}

/// Which schedules to list, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScheduleFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    pub external_id: Option<String>,
    pub dedup_key: Option<String>,
    /// Only those with this label.
    pub label: Option<(String, String)>,
    pub paused: Option<bool>,
    pub after: Option<ScheduleId>,
    pub limit: usize,
}

impl ScheduleFilter {
    /// Whether `schedule` is one of those, apart from `after` and `limit`.
    #[must_use]
    pub fn matches(&self, schedule: &Schedule) -> bool {
        let definition = &schedule.definition;
        let key = definition.target.connection();
        let same =
            |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && same(&self.external_id, &definition.external_id)
            && same(&self.dedup_key, &definition.dedup_key)
            && self
                .label
                .as_ref()
                .is_none_or(|(name, value)| definition.labels.get(name) == Some(value))
            && self
                .paused
                .is_none_or(|paused| schedule.progress.paused.is_some() == paused)
    }
}

/// A range of a schedule's past to fire for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    pub schedule: ScheduleId,
    /// Moments at which it was due, oldest first.
    pub moments: Vec<Timestamp>,
    pub again: RefirePolicy,
    pub now: Timestamp,
}

/// Which moments that have been fired are fired again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RefirePolicy {
    /// Only those that have no job: missed, skipped, or before there was a schedule.
    #[default]
    Never,
    /// Those whose job did not succeed, too.
    Failed,
    /// All but those whose job waits or runs.
    Always,
}

impl RefirePolicy {
    /// Whether a moment is fired again whose job is in `state`; `None` if the job has been forgotten.
    #[must_use]
    pub fn wants(self, state: Option<&JobState>) -> bool {
        match (self, state) {
            (Self::Never, _) => false,
            (_, Some(state)) if state.is_active() => false,
            (Self::Failed, state) => !matches!(state, None | Some(JobState::Succeeded)),
            (Self::Always, _) => true,
        }
    }
}

/// The part of a backend that keeps schedules.
#[async_trait]
pub trait Schedules {
    /// Make or change a schedule of an existing connection. One that is there just so is fine; `Stale` if it
    /// has another revision, `Definition` if it can't be, `Full` if there are too many.
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError>;
    /// Make those of these schedules that are not there yet, whatever has become of those that are. The
    /// ones whose connection is gone are left out. Says how many are new.
    async fn ensure_schedules(&self, puts: Vec<PutSchedule>) -> Result<usize, StoreError>;
    async fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError>;
    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError>;
    async fn pause_schedule(&self, id: ScheduleId, pause: Pause) -> Result<Schedule, StoreError>;
    /// Go on from now on. Fine if it is not paused.
    async fn resume_schedule(&self, id: ScheduleId, now: Timestamp)
    -> Result<Schedule, StoreError>;
    /// Remove a schedule with its fires. Its jobs that wait are cancelled; those that run go on.
    async fn remove_schedule(&self, id: ScheduleId, now: Timestamp) -> Result<(), StoreError>;
    /// Fire at most `limit` schedules that are due: for each, its fires, their jobs and its next time, all in
    /// one transaction.
    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError>;
    /// When [`Self::fire_due`] has something to do next.
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;
    /// The fires of a schedule, newest first, at most `limit` before `before`.
    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>, StoreError>;
    /// Fire for moments of the past, one after the other, with low priority.
    async fn backfill(&self, backfill: Backfill) -> Result<Vec<Fire>, StoreError>;
}
