//! Schedules, jobs, and the leases of those who run them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{JobFilter, ScheduleFilter};
use crate::Timestamp;
use crate::board::{ConcurrencyLimits, Fired};
use crate::error::StoreError;
use crate::idempotency::{KeyUse, Queued};
use crate::integration::Integration;
use crate::job::{Job, JobId, JobState, NewJob};
use crate::run::{Failure, Fence, RunId, Started};
use crate::schedule::{Definition, Fire, Origin, Pause, Schedule, ScheduleId};

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

/// What a worker wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// An id for each run that it could start.
    pub runs: Vec<RunId>,
    pub caps: ConcurrencyLimits,
    pub now: Timestamp,
    /// Until when the worker need not say that it is alive.
    pub lease_until: Timestamp,
}

/// A job and the run that was started for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    pub job: Job,
    pub run: RunId,
    pub started: Started,
    /// As it was deployed at that moment: the run is of this deployment to its end.
    pub integration: Arc<Integration>,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueFigures {
    pub running: usize,
    /// Jobs whose time has come.
    pub ready: usize,
    /// Since when the oldest of these could start.
    pub oldest: Option<Timestamp>,
}

/// What retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionReport {
    pub jobs: usize,
    pub runs: usize,
    pub fires: usize,
    /// Whether there was more to remove than the limit allowed.
    pub more: bool,
}

/// One board for all hosts ([`crate::board`]): what fires, what starts next, and who has it.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Make or change a schedule of an existing connection. One that is there just so is fine; `Stale` if it
    /// has another revision, `Definition` if it can't be, `Full` if there are too many.
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError>;
    /// Make those of these schedules that are not there yet, whatever has become of those that are. The
    /// ones whose connection is gone are left out. Says how many are new. Idempotent by id, so every host may do so as it starts.
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
    /// one transaction. Every host may ask at any time: each moment is fired once, by whoever comes first. The latest `now` of
    /// all callers counts.
    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError>;
    /// When [`Self::fire_due`] has something to do next, as far as is known now: other hosts may add what is due earlier.
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

    /// Queue a job for an existing connection. Idempotent by the job's id: one of the same id is handed out as it is, and so is
    /// a job that waits already to run the same sync in the same way.
    async fn enqueue(&self, job: NewJob) -> Result<Job, StoreError>;
    /// Queue an action that acts once under `key`, which becomes the job's: the job takes it in the same
    /// transaction. Or hand out the job that has the key already, or what a run under it came to.
    /// `Busy` while a run holds the key that is no job's, `KeyConflict` with another input, `ManyKeys`
    /// when the connection has too many.
    async fn enqueue_keyed(&self, job: NewJob, key: KeyUse) -> Result<Queued, StoreError>;
    /// What the action of a job returned that succeeded and held a key, as long as that is remembered.
    async fn job_output(&self, id: JobId) -> Result<Option<String>, StoreError>;
    /// Start the jobs that come next, as many as there are run ids and the caps allow: each job and its
    /// run in one transaction. No two hosts get the same job; the caps hold for all hosts together. One that needs what is
    /// damaged ends as dead, and the others go on.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError>;
    /// The next moment after `now` at which a job may start or expires.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Prolong the leases of runs of jobs, which only the host that has them does. Returns those that have lost theirs: they may
    /// write no more. Leases need not be stored durably where one process has all of a store, as with a locked data directory:
    /// they live in its memory then, and end with it. A backend that several processes share keeps them in rows.
    async fn heartbeat(
        &self,
        runs: Vec<(RunId, Fence)>,
        until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError>;
    /// End the runs whose leases have ended as `why` says, so that their jobs go on elsewhere, and the jobs
    /// that have waited for too long. Every host may do so; each run ends once.
    async fn reap(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError>;
    /// Forget the idempotency keys that have expired, and end all runs that are still `running` though nothing
    /// runs them, as `Interrupted` with `why`; returns those. **For one host only**, as it starts: all that runs is taken for its
    /// predecessor's.
    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError>;
    /// Cancel a job: one that waits ends; one that runs is marked, and whoever runs it stops it.
    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    /// Queue a dead job again. `Busy` if it held an idempotency key that somebody else has taken since.
    async fn redrive_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    /// Give a dead job up.
    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    async fn job(&self, id: JobId) -> Result<Job, StoreError>;
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError>;
    async fn queue_figures(&self, now: Timestamp) -> Result<QueueFigures, StoreError>;
    /// Forget jobs, runs with their logs, and fires that ended before `before`, at most `limit` of each. Any host; what is
    /// gone is passed over.
    async fn forget_ended(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError>;
}
