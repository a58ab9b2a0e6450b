//! The job queue of the memory store.

use std::sync::Arc;

use tidegate_engine::Timestamp;
use tidegate_engine::board::Ended;
use tidegate_engine::idempotency::KEPT_MS;
use tidegate_engine::job::{Job, JobId, NewJob, checkpoint_mark};
use tidegate_engine::run::{Failure, Fence, RunEnd, RunId};
use tidegate_engine::schedule::FireOutcome;
use tidegate_engine::store::{Claim, Claimed, RetentionReport, Started, StoreError};

use tidegate_engine::store::rules;

use super::{State, not_found};

impl State {
    pub(super) fn job(&self, id: JobId) -> Result<&Job, StoreError> {
        self.jobs.get(&id).ok_or_else(|| not_found("job", &id))
    }

    pub(super) fn enqueue(&mut self, new: NewJob) -> Result<Job, StoreError> {
        self.connection(new.target.connection())?;
        if let Some(job) = self.jobs.get(&new.id) {
            return rules::same_job(job, &new);
        }
        let (job, changes) = self.board.enqueue(new)?;
        self.apply_changes(changes);
        Ok(job)
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
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
            if let tidegate_engine::run::Target::Sync(sync) = &stored.target {
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

    pub(super) fn reap(&mut self, why: &Failure, now: Timestamp) -> Vec<RunId> {
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

    pub(super) fn forget_ended(&mut self, before: Timestamp, limit: usize) -> RetentionReport {
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
        let ended =
            |run: &&tidegate_engine::run::Run| run.end.as_ref().is_some_and(|end| end.at < before);
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
        let is_over = |fire: &tidegate_engine::schedule::Fire| match fire.outcome {
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
