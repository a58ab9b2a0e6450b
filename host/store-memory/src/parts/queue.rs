//! Schedules and jobs: each command takes the lock, and does its part of the state's work.

use async_trait::async_trait;
use tidegate_engine::board::{Board, Fired};
use tidegate_engine::idempotency::{KeyUse, Queued};
use tidegate_engine::job::{Job, JobId, NewJob};
use tidegate_engine::run::{Failure, Fence, RunId};
use tidegate_engine::schedule::{Fire, Pause, Schedule, ScheduleId};
use tidegate_engine::store::{
    Backfill, Claim, Claimed, JobFilter, PutSchedule, Queue, QueueFigures, RetentionReport,
    ScheduleFilter, rules,
};
use tidegate_engine::{StoreError, Timestamp};

use crate::{MemoryStore, State};

#[async_trait]
impl Queue for MemoryStore {
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError> {
        self.with(|state| state.put_schedule(put))
    }

    async fn ensure_schedules(&self, puts: Vec<PutSchedule>) -> Result<usize, StoreError> {
        self.with(|state| {
            rules::ensure_schedules(state, puts, |state| &state.board, State::put_schedule)
        })
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError> {
        self.with(|state| state.board.schedule(id).cloned())
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.with(|state| Ok(rules::schedules(&state.board, &filter)))
    }

    async fn pause_schedule(&self, id: ScheduleId, pause: Pause) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let (schedule, changes) = state.board.pause_schedule(id, pause)?;
            state.apply_changes(changes);
            Ok(schedule)
        })
    }

    async fn resume_schedule(
        &self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let (schedule, changes) = state.board.resume_schedule(id, now)?;
            state.apply_changes(changes);
            Ok(schedule)
        })
    }

    async fn remove_schedule(&self, id: ScheduleId, now: Timestamp) -> Result<(), StoreError> {
        self.with(|state| {
            let changes = state.board.remove_schedule(id, now)?;
            state.apply_changes(changes);
            Ok(())
        })
    }

    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        self.with(|state| state.fire_due(now, limit))
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with(|state| Ok(state.board.next_wake()))
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>, StoreError> {
        self.with(|state| {
            state.board.schedule(id)?;
            let end = before.unwrap_or(Timestamp(u64::MAX));
            let own = state.fires.range((id, Timestamp(0))..(id, end)).rev();
            Ok(own.take(limit).map(|(_, fire)| fire.clone()).collect())
        })
    }

    async fn backfill(&self, backfill: Backfill) -> Result<Vec<Fire>, StoreError> {
        self.with(|state| state.backfill(&backfill))
    }

    async fn enqueue(&self, job: NewJob) -> Result<Job, StoreError> {
        self.with(|state| state.enqueue(job))
    }

    async fn enqueue_keyed(&self, job: NewJob, key: KeyUse) -> Result<Queued, StoreError> {
        self.with(|state| state.enqueue_keyed(job, &key))
    }

    async fn job_output(&self, id: JobId) -> Result<Option<String>, StoreError> {
        self.with(|state| state.job_output(id))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        self.with(|state| state.claim(&claim))
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.with(|state| Ok(state.board.next_due(now)))
    }

    async fn heartbeat(
        &self,
        runs: Vec<(RunId, Fence)>,
        until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        self.with(|state| {
            let mut lost = Vec::new();
            for (run, fence) in runs {
                let holds = state.writing(run, fence).is_ok();
                if !(holds && state.board.heartbeat(run, until)) {
                    lost.push(run);
                }
            }
            Ok(lost)
        })
    }

    async fn reap(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.with(|state| Ok(state.reap(&why, now)))
    }

    async fn recover_runs(&self, why: Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        self.with(|state| Ok(state.recover_runs(&why, now)))
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.with(|state| {
            let known = state.job(id)?.clone();
            if !known.state.is_active() {
                return Ok(known);
            }
            let (job, changes) = state.board.cancel_job(id, now)?;
            state.apply_changes(changes);
            Ok(job)
        })
    }

    async fn redrive_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.with(|state| {
            let job = state.job(id)?.clone();
            state.connection(job.target.connection())?;
            let row = state.key_again(&job, now)?;
            let (job, changes) = state.board.redrive(job, now)?;
            state.keys.put(row);
            state.apply_changes(changes);
            Ok(job)
        })
    }

    async fn discard_job(&self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        self.with(|state| {
            let (job, changes) = Board::discard(state.job(id)?.clone(), now)?;
            state.apply_changes(changes);
            Ok(job)
        })
    }

    async fn job(&self, id: JobId) -> Result<Job, StoreError> {
        self.with(|state| state.job(id).cloned())
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, StoreError> {
        self.with(|state| {
            let filter = rules::with_connection(&state.board, filter);
            let newest_first = state.jobs.values().rev();
            let older =
                newest_first.filter(|job| filter.before.is_none_or(|before| job.id < before));
            let wanted = older.filter(|job| filter.matches(job));
            Ok(wanted.take(filter.limit).cloned().collect())
        })
    }

    async fn queue_figures(&self, now: Timestamp) -> Result<QueueFigures, StoreError> {
        self.with(|state| Ok(rules::queue_figures(&state.board, now)))
    }

    async fn forget_ended(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError> {
        self.with(|state| Ok(state.forget_ended(before, limit)))
    }
}
