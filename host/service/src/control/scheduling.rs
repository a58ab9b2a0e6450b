//! What commands ask about schedules and jobs.

use async_trait::async_trait;
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::{Definition, Due, Fire, Schedule, ScheduleId};
use tidegate_engine::store::{JobFilter, ScheduleFilter};
use tidegate_engine::{ConnectionKey, Name, Timestamp};

use super::jobs::{self, TriggerRequest};
use super::local::Local;
use super::schedules::{self, BackfillRequest, Backfilled, NewSchedule};
use super::submit_action::{self, ActionSubmission, SubmitAction};
use super::syncs::{self, SyncStatus};
use crate::problem::Result;

/// The part of [`Control`](super::Control) about schedules and jobs.
#[async_trait]
pub trait Scheduling: Send + Sync {
    /// Queue a run of a sync, or find the job that waits to do the same.
    async fn trigger(&self, request: TriggerRequest) -> Result<Job>;
    /// Queue a run of an action, or find what was queued, or done, under the same key.
    async fn invoke_later(&self, request: SubmitAction) -> Result<ActionSubmission>;
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>>;
    async fn job(&self, id: JobId) -> Result<Job>;
    /// What the action of a job returned that [`Self::invoke_later`] queued, JSON text: once it has
    /// succeeded, and for a day from then on.
    async fn job_output(&self, id: JobId) -> Result<Option<String>>;
    /// Cancel a job; a run of it stops shortly. Fine if it has ended.
    async fn cancel_job(&self, id: JobId) -> Result<Job>;
    /// Queue a dead job again.
    async fn redrive_job(&self, id: JobId) -> Result<Job>;
    /// Give a dead job up.
    async fn discard_job(&self, id: JobId) -> Result<Job>;
    /// Do again what a run did not that has ended: the job that does it. `Conflict` if it succeeded, or
    /// if what it was given is not kept.
    async fn retry_run(&self, id: RunId) -> Result<Job>;

    /// Pause all schedules of a sync.
    async fn pause_sync(
        &self,
        key: &ConnectionKey,
        sync: &Name,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<SyncStatus>;
    /// Resume the schedules of a sync; make the manifest's default if none is ever due again. `Conflict` if
    /// there is none.
    async fn start_sync(&self, key: &ConnectionKey, sync: &Name) -> Result<SyncStatus>;

    /// Make a schedule, or change the one of its id or dedup key.
    async fn put_schedule(&self, new: NewSchedule) -> Result<Schedule>;
    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>>;
    async fn schedule(&self, id: ScheduleId) -> Result<Schedule>;
    async fn pause_schedule(
        &self,
        id: ScheduleId,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<Schedule>;
    async fn resume_schedule(&self, id: ScheduleId) -> Result<Schedule>;
    async fn remove_schedule(&self, id: ScheduleId) -> Result<()>;
    /// When it is due next, after `after` or now.
    async fn preview(
        &self,
        id: Option<ScheduleId>,
        definition: &Definition,
        after: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<Due>>;
    /// What became of its moments, newest first.
    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>>;
    /// Fire for moments of the past.
    async fn backfill(&self, request: BackfillRequest) -> Result<Backfilled>;
}

#[async_trait]
impl Scheduling for Local {
    async fn trigger(&self, request: TriggerRequest) -> Result<Job> {
        jobs::trigger(self, request).await
    }

    async fn invoke_later(&self, request: SubmitAction) -> Result<ActionSubmission> {
        submit_action::invoke_later(self, request).await
    }

    async fn job_output(&self, id: JobId) -> Result<Option<String>> {
        jobs::output(self, id).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>> {
        jobs::list(self, filter).await
    }

    async fn job(&self, id: JobId) -> Result<Job> {
        jobs::show(self, id).await
    }

    async fn cancel_job(&self, id: JobId) -> Result<Job> {
        jobs::cancel(self, id).await
    }

    async fn redrive_job(&self, id: JobId) -> Result<Job> {
        jobs::redrive(self, id).await
    }

    async fn discard_job(&self, id: JobId) -> Result<Job> {
        jobs::discard(self, id).await
    }

    async fn retry_run(&self, id: RunId) -> Result<Job> {
        super::retry::run(self, id).await
    }

    async fn pause_sync(
        &self,
        key: &ConnectionKey,
        sync: &Name,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<SyncStatus> {
        syncs::pause(self, key, sync, note, until).await
    }

    async fn start_sync(&self, key: &ConnectionKey, sync: &Name) -> Result<SyncStatus> {
        syncs::start(self, key, sync).await
    }

    async fn put_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        schedules::put(self, new).await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>> {
        schedules::list(self, filter).await
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule> {
        schedules::find(self, id).await
    }

    async fn pause_schedule(
        &self,
        id: ScheduleId,
        note: String,
        until: Option<Timestamp>,
    ) -> Result<Schedule> {
        schedules::pause(self, id, note, until).await
    }

    async fn resume_schedule(&self, id: ScheduleId) -> Result<Schedule> {
        schedules::resume(self, id).await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Result<()> {
        schedules::remove(self, id).await
    }

    async fn preview(
        &self,
        id: Option<ScheduleId>,
        definition: &Definition,
        after: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<Due>> {
        let after = after.unwrap_or_else(|| self.clock.now());
        schedules::preview(id, definition, after, count)
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>> {
        schedules::find(self, id).await?;
        Ok(self.store.fires(id, before, limit).await?)
    }

    async fn backfill(&self, request: BackfillRequest) -> Result<Backfilled> {
        schedules::backfill(self, request).await
    }
}
