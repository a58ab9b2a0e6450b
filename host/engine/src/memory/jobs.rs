//! The job queue of the memory store.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Timestamp;
use crate::board::{Board, Ended};
use crate::idempotency::{KEPT_MS, KeyUse, Queued};
use crate::job::{Job, JobId, NewJob, checkpoint_mark};
use crate::run::{Failure, Fence, RunEnd, RunId};
use crate::schedule::FireOutcome;
use crate::store::{
    Claim, Claimed, JobFilter, Jobs, QueueFigures, RetentionReport, Started, StoreError,
};

use super::{MemoryStore, State, not_found, rules};

impl State {
    pub(super) fn job(&self, id: JobId) -> Result<&Job, StoreError> {
        self.jobs.get(&id).ok_or_else(|| not_found("job", &id))
    }

    fn enqueue(&mut self, new: NewJob) -> Result<Job, StoreError> {
        self.connection(new.target.connection())?;
        if let Some(job) = self.jobs.get(&new.id) {
            return rules::same_job(job, &new);
        }
        let (job, changes) = self.board.enqueue(new)?;
        self.apply_changes(changes);
        Ok(job)
    }

    fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let mut claimed = Vec::new();
        for run in &claim.runs {
            let next = self
                .board
                .claim(*run, claim.caps, claim.now, claim.lease_until);
            let Some(job) = next else {
                break;
            };
            self.keys.follow(&job);
            self.jobs.insert(job.id, job.clone());
            let key = job.target.connection();
            let integration = self.integrations.get(&key.integration).cloned();
            let integration =
                integration.ok_or_else(|| not_found("integration", &key.integration))?;
            let new = rules::run_of(&job, *run, &integration.current, claim.now);
            self.forget_progress(&new);
            self.last_fence += 1;
            let started = Started {
                fence: Fence(self.last_fence),
                checkpoint: self.checkpoint_of(&new.target),
            };
            let row = rules::started(new, started.fence, started.checkpoint.as_deref());
            self.runs.insert(*run, row);
            claimed.push(Claimed {
                job,
                run: *run,
                started,
                integration: Arc::new(integration),
            });
        }
        Ok(claimed)
    }

    /// The end of a run as it is to be stored: its job, if it has one, takes it in.
    /// Returns the event of its schedule's pause, too.
    pub(super) fn settle_job(&mut self, run: RunId, end: RunEnd) -> Ended {
        let Some(stored) = self.runs.get(&run) else {
            return Ended::without_job(end);
        };
        let checkpoint = self.checkpoint_of(&stored.target);
        let Some(job) = stored.job else {
            if let crate::run::Target::Sync(sync) = &stored.target {
                self.board.set_busy(sync, false);
            }
            return Ended::without_job(end);
        };
        let mark = checkpoint_mark(checkpoint.as_deref());
        match self.board.settle(job, run, end.clone(), mark) {
            Some(mut settled) => {
                self.apply_changes(std::mem::take(&mut settled.changes));
                settled.into()
            }
            None => Ended::without_job(end),
        }
    }

    fn reap(&mut self, why: &Failure, now: Timestamp) -> Vec<RunId> {
        let changes = self.board.expire(now);
        self.apply_changes(changes);
        let overdue = self.board.overdue(now);
        let mut events = Vec::new();
        for id in &overdue {
            if let Some(run) = self.runs.get(id) {
                let end = rules::interrupted(run, why, now);
                events.extend(self.end_run(*id, end));
            }
        }
        self.write_events(events);
        overdue
    }

    fn forget_ended(&mut self, before: Timestamp, limit: usize) -> RetentionReport {
        // A key must not outlive its run.
        let expired = Timestamp(before.0.saturating_add(KEPT_MS));
        self.keys.forget_expired(expired);
        let jobs = self.jobs.values();
        let jobs =
            jobs.filter(|job| job.id.time() < before && job.ended_at.is_some_and(|at| at < before));
        let jobs: Vec<JobId> = jobs.map(|job| job.id).take(limit).collect();
        for id in &jobs {
            self.jobs.remove(id);
        }
        let ended = |run: &&crate::run::Run| run.end.as_ref().is_some_and(|end| end.at < before);
        let runs = self
            .runs
            .values()
            .filter(|run| run.id.time() < before)
            .filter(ended);
        let runs: Vec<RunId> = runs.map(|run| run.id).take(limit).collect();
        for id in &runs {
            self.runs.remove(id);
            self.logs.remove(id);
        }
        let board = &self.board;
        let is_over = |fire: &crate::schedule::Fire| match fire.outcome {
            FireOutcome::Started { job } => board.active_job(job).is_none(),
            _ => true,
        };
        let fires = self.fires.iter();
        let fires = fires
            .filter(|((_, moment), fire)| *moment < before && fire.at < before && is_over(fire));
        let fires: Vec<_> = fires.map(|(key, _)| *key).take(limit).collect();
        for key in &fires {
            self.fires.remove(key);
        }
        RetentionReport {
            jobs: jobs.len(),
            runs: runs.len(),
            fires: fires.len(),
            more: [jobs.len(), runs.len(), fires.len()].contains(&limit),
        }
    }
}

#[async_trait]
impl Jobs for MemoryStore {
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
            let schedule = filter.schedule.and_then(|id| state.board.schedule(id).ok());
            let own = schedule.map(|schedule| schedule.definition.target.connection());
            let filter = filter.of_connection(own);
            let newest_first = state.jobs.values().rev();
            let older =
                newest_first.filter(|job| filter.before.is_none_or(|before| job.id < before));
            let wanted = older.filter(|job| filter.matches(job));
            Ok(wanted.take(filter.limit).cloned().collect())
        })
    }

    async fn queue_figures(&self, now: Timestamp) -> Result<QueueFigures, StoreError> {
        self.with(|state| {
            let (running, ready, oldest) = state.board.figures(now);
            Ok(QueueFigures {
                running,
                ready,
                oldest,
            })
        })
    }

    async fn forget_ended(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError> {
        self.with(|state| Ok(state.forget_ended(before, limit)))
    }
}
