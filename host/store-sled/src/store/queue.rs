//! Schedules and jobs.

use async_trait::async_trait;
use tidegate_engine::board::Fired;
use tidegate_engine::idempotency::{KeyUse, Queued};
use tidegate_engine::job::{Job, JobId, NewJob};
use tidegate_engine::run::{Failure, Fence, RunId};
use tidegate_engine::schedule::{Fire, Pause, Schedule, ScheduleId};
use tidegate_engine::store::{
    Backfill, Claim, Claimed, JobFilter, PutSchedule, Queue, QueueFigures, RetentionReport,
    ScheduleFilter,
};
use tidegate_engine::{StoreError, Timestamp};

use super::SledStore;
use crate::writer::Writer;
use crate::writer::jobs;
use crate::writer::schedules;

/// Schedules that one command sees to.
const ENSURED_AT_ONCE: usize = 100;

#[async_trait]
impl Queue for SledStore {
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError> {
        let id = put.id;
        while !self.write(move |writer| writer.purge_fires_of(id)).await? {}
        self.write(move |writer| writer.put_schedule(put)).await
    }

    async fn ensure_schedules(&self, puts: Vec<PutSchedule>) -> Result<usize, StoreError> {
        let mut new = 0;
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            let some: Vec<PutSchedule> = puts.by_ref().take(ENSURED_AT_ONCE).collect();
            for id in some.iter().map(|put| put.id) {
                while !self.write(move |writer| writer.purge_fires_of(id)).await? {}
            }
            let ensure = move |writer: &mut Writer| writer.ensure_schedules(some);
            new += self.write(ensure).await?;
        }
        Ok(new)
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.schedule(id)).await
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.write(move |writer| Ok(writer.schedules(&filter)))
            .await
    }

    async fn pause_schedule(&self, id: ScheduleId, pause: Pause) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.pause_schedule(id, pause))
            .await
    }

    async fn resume_schedule(
        &self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        self.write(move |writer| writer.resume_schedule(id, now))
            .await
    }

    async fn remove_schedule(&self, id: ScheduleId, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |writer| writer.remove_schedule(id, now))
            .await?;
        while !self.write(|writer| writer.purge_fires()).await? {}
        Ok(())
    }

    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        self.write(move |writer| writer.fire_due(now, limit)).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.write(|writer| Ok(writer.next_wake())).await
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>, StoreError> {
        self.view(move |view| schedules::fires(view, id, before, limit))
            .await
    }

    async fn backfill(&self, backfill: Backfill) -> Result<Vec<Fire>, StoreError> {
        self.write(move |writer| writer.backfill(&backfill)).await
    }

    async fn enqueue(&self, job: NewJob) -> Result<Job, StoreError> {
        self.write(move |writer| writer.enqueue(job)).await
    }

    async fn enqueue_keyed(&self, job: NewJob, key: KeyUse) -> Result<Queued, StoreError> {
        self.write(move |writer| writer.enqueue_keyed(job, &key))
            .await
    }

    async fn job_output(&self, id: JobId) -> Result<Option<String>, StoreError> {
        self.row(move |view| jobs::job_output(view, id)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        self.write(move |writer| writer.claim(&claim)).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.write(move |writer| Ok(writer.next_due(now))).await
    }

    async fn heartbeat(
        &self,
        runs: Vec<(RunId, Fence)>,
        until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        self.write(move |writer| Ok(writer.heartbeat(&runs, until)))
            .await
    }

    async fn reap(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.write(move |writer| writer.reap(&why, now)).await
    }

    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.write(move |writer| writer.recover_runs(&why, now))
            .await
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.write(move |writer| writer.cancel_job(id, now)).await
    }

    async fn redrive_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.write(move |writer| writer.redrive_job(id, now)).await
    }

    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.write(move |writer| writer.discard_job(id, now)).await
    }

    async fn job(&self, id: JobId) -> Result<Job, StoreError> {
        self.row(move |view| jobs::job(view, id)).await
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError> {
        // However many have ended, those that wait or run are at hand.
        if matches!(filter.state.as_deref(), Some("queued" | "running")) {
            return self
                .write(move |writer| Ok(writer.active_jobs(filter)))
                .await;
        }
        let (before, limit) = (filter.before, filter.limit);
        self.list(before, limit, move |view, before, wanted| {
            jobs::some_jobs(view, &filter, before, wanted)
        })
        .await
    }

    async fn queue_figures(&self, now: Timestamp) -> Result<QueueFigures, StoreError> {
        self.write(move |writer| Ok(writer.queue_figures(now)))
            .await
    }

    async fn forget_ended(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError> {
        while !self.write(move |writer| writer.forget_keys(before)).await? {}
        self.write(move |writer| writer.forget_ended(before, limit))
            .await
    }
}
