//! The job queue of the sled store.

use async_trait::async_trait;
use tidegate_engine::idempotency::{KeyUse, Queued};
use tidegate_engine::job::{Job, JobId, NewJob};
use tidegate_engine::run::{Failure, Fence, RunId};
use tidegate_engine::store::{Claim, Claimed, JobFilter, Jobs, QueueFigures, RetentionReport};
use tidegate_engine::{StoreError, Timestamp};

use super::SledStore;
use crate::writer::jobs;

#[async_trait]
impl Jobs for SledStore {
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
