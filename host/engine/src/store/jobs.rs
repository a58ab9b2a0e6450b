//! The commands of the job queue.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::board::ConcurrencyLimits;
use crate::idempotency::{KeyUse, Queued};
use crate::integration::Integration;
use crate::job::{Job, JobId, NewJob};
use crate::run::{Failure, Fence, RunId};
use crate::schedule::ScheduleId;
use crate::store::Started;
use crate::{ConnectionKey, Name, StoreError, Timestamp};

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

/// Which jobs to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    pub schedule: Option<ScheduleId>,
    /// The word of a state, as [`crate::job::JobState::as_str`] has it.
    pub state: Option<String>,
    pub before: Option<JobId>,
    pub limit: usize,
}

impl JobFilter {
    /// The same for a schedule whose connection is known: a schedule's jobs are those of its connection.
    #[must_use]
    pub fn of_connection(mut self, schedule: Option<&ConnectionKey>) -> Self {
        self.connection = self.connection.or_else(|| schedule.cloned());
        self
    }

    /// Whether `job` is one of those, apart from `before` and `limit`.
    #[must_use]
    pub fn matches(&self, job: &Job) -> bool {
        let key = job.target.connection();
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && self
                .schedule
                .is_none_or(|id| job.fire.is_some_and(|fire| fire.schedule == id))
            && self
                .state
                .as_ref()
                .is_none_or(|state| job.state.as_str() == state)
    }
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

/// The part of a backend that keeps the queue.
#[async_trait]
pub trait Jobs {
    /// Queue a job for an existing connection. One of the same id is handed out as it is, and so is a job
    /// that waits already to run the same sync in the same way.
    async fn enqueue(&self, job: NewJob) -> Result<Job, StoreError>;
    /// Queue an action that acts once under `key`, which becomes the job's: the job takes it in the same
    /// transaction. Or hand out the job that has the key already, or what a run under it came to.
    /// `Busy` while a run holds the key that is no job's, `KeyConflict` with another input, `ManyKeys`
    /// when the connection has too many.
    async fn enqueue_keyed(&self, job: NewJob, key: KeyUse) -> Result<Queued, StoreError>;
    /// What the action of a job returned that succeeded and held a key, as long as that is remembered.
    async fn job_output(&self, id: JobId) -> Result<Option<String>, StoreError>;
    /// Start the jobs that come next, as many as there are run ids and the caps allow: each job and its
    /// run in one transaction. One that needs what is damaged ends as dead, and the others go on.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError>;
    /// The next moment after `now` at which a job may start or expires.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Prolong the leases of runs. Returns those that have lost theirs: they may write no more.
    async fn heartbeat(
        &self,
        runs: Vec<(RunId, Fence)>,
        until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError>;
    /// End the runs whose leases have ended as `why` says, so that their jobs go on elsewhere, and the jobs
    /// that have waited for too long.
    async fn reap(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError>;
    /// Cancel a job: one that waits ends; one that runs is marked, and whoever runs it stops it.
    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    /// Queue a dead job again. `Busy` if it held an idempotency key that somebody else has taken since.
    async fn redrive_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    /// Give a dead job up.
    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError>;
    async fn job(&self, id: JobId) -> Result<Job, StoreError>;
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError>;
    async fn queue_figures(&self, now: Timestamp) -> Result<QueueFigures, StoreError>;
    /// Forget jobs, runs with their logs, and fires that ended before `before`, at most `limit` of each.
    async fn forget_ended(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError>;
}
