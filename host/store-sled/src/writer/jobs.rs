//! The commands of the job queue: the board decides, and what it changes is stored with it.

use std::sync::Arc;

use tidegate_engine::board::{Board, Change, Ended};
use tidegate_engine::idempotency::KEPT_MS;
use tidegate_engine::integration::Integration;
use tidegate_engine::job::{Job, JobId, NewJob, checkpoint_mark};
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Outcome, Run, RunEnd, RunId, Target,
};
use tidegate_engine::schedule::{Fire, FireOutcome, Schedule};
use tidegate_engine::store::rules;
use tidegate_engine::store::{Claim, Claimed, JobFilter, QueueFigures, RetentionReport, Started};
use tidegate_engine::webhook::NewEvent;
use tidegate_engine::{Name, StoreError, Timestamp};

use crate::disk::{Rows, View, Writes, damaged};
use crate::layout::ends;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;
use crate::lists::SCAN;
use crate::lists::newest::{Newest, by_end, of_integrations};

use super::runs::lists_of_run;
use super::{Running, Writer, not_found, unless_damaged};

/// Jobs that one claim ends because they can't be started: other commands wait for it.
const BURIED_MAX: usize = 1_000;

impl Writer {
    pub(super) fn stored_job(&self, id: JobId) -> Result<Job, StoreError> {
        let job = self.view().row(&keys::job(id), rows::decode)?;
        job.ok_or_else(|| not_found("job", &id))
    }

    pub(crate) fn enqueue(&mut self, new: NewJob) -> Result<Job, StoreError> {
        self.connection_number(new.target.connection())?;
        let stored: Option<Job> = self.view().row(&keys::job(new.id), rows::decode)?;
        if let Some(job) = stored {
            return rules::same_job(&job, &new);
        }
        let (job, changes) = self.board.enqueue(new)?;
        self.apply_changes(&changes)?;
        Ok(job)
    }

    pub(crate) fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let claimed = self.claim_all(claim);
        if let Err(error) = &claimed {
            // The board has gone ahead of what is stored.
            self.failure = Some(error.clone());
        }
        claimed
    }

    fn claim_all(&mut self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let mut writes = Writes::default();
        let (mut claimed, mut runs, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let mut ids = claim.runs.iter().copied();
        let mut free = ids.next();
        let mut buried = 0;
        while let Some(run) = free
            && buried < BURIED_MAX
            && let Some(id) = self.board.candidate(claim.caps, claim.now)
        {
            let (running, started, integration) =
                match self.plan_claim(&mut writes, id, run, claim.now) {
                    Ok(planned) => planned,
                    Err(error @ (StoreError::Damaged { .. } | StoreError::NotFound { .. })) => {
                        events.extend(self.bury(&mut writes, id, &error, claim.now)?);
                        buried += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
            free = ids.next();
            let job = self
                .board
                .claim(run, claim.caps, claim.now, claim.lease_until);
            let job = job.ok_or_else(|| not_found("job", &id))?;
            self.put_changes(&mut writes, &[Change::Job(job.clone())])?;
            runs.push((run, running));
            claimed.push(Claimed {
                job,
                run,
                started,
                integration,
            });
        }
        if writes.is_empty() {
            return Ok(claimed);
        }
        self.put_counters(&mut writes)?;
        self.apply_telling(writes, events, None)?;
        self.running.extend(runs);
        Ok(claimed)
    }

    /// What starting a job writes, but for the job. All that may be damaged is read before the board changes.
    fn plan_claim(
        &mut self,
        writes: &mut Writes,
        id: JobId,
        run: RunId,
        now: Timestamp,
    ) -> Result<(Running, Started, Arc<Integration>), StoreError> {
        let job = self.board.active_job(id);
        let job = job.ok_or_else(|| not_found("job", &id))?;
        let key = job.target.connection();
        let integration = self.integrations.get(&self.view(), &key.integration)?;
        let connection = self.connection_number(key)?;
        let new = rules::run_of(job, run, &integration.current, now);
        let (running, started) = self.plan_start(writes, new, connection, None)?;
        Ok((running, started, integration))
    }

    /// End a job that can't be started because of `error`, so that the others go on. Returns the event of its
    /// schedule's pause, too.
    fn bury(
        &mut self,
        writes: &mut Writes,
        id: JobId,
        error: &StoreError,
        now: Timestamp,
    ) -> Result<Option<NewEvent>, StoreError> {
        let why = Failure::new(FailureClass::Internal, Blame::Host, error.to_string());
        let (changes, paused) = self.board.bury(id, why, now);
        self.put_changes(writes, &changes)?;
        Ok(paused)
    }

    /// The end of a run as it is to be stored: its job, if it has one, takes it in.
    /// Returns the event of its schedule's pause, too.
    pub(super) fn settle_job(
        &mut self,
        writes: &mut Writes,
        id: RunId,
        end: RunEnd,
    ) -> Result<Ended, StoreError> {
        let Some(running) = self.running.get(&id) else {
            return Ok(Ended::without_job(end));
        };
        let Some(job) = running.run.job else {
            if let Target::Sync(key) = &running.run.target {
                self.board.set_busy(key, false);
            }
            return Ok(Ended::without_job(end));
        };
        let sync = running.sync.as_ref().map(|(_, number)| *number);
        // Others don't ask how far it has come.
        let asks = matches!(end.outcome, Outcome::Interrupted | Outcome::Failed);
        let sync = sync.filter(|_| asks);
        let checkpoint = sync.map(|number| unless_damaged(self.stored_checkpoint(number)));
        let mark = checkpoint_mark(checkpoint.transpose()?.flatten().as_deref());
        let Some(settled) = self.board.settle(job, id, end.clone(), mark) else {
            return Ok(Ended::without_job(end));
        };
        self.put_changes(writes, &settled.changes)?;
        Ok(settled.into())
    }

    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.board.next_due(now)
    }

    /// Leases live in memory: the lock of the data directory stands for those of a dead process.
    pub(crate) fn heartbeat(&mut self, runs: &[(RunId, Fence)], until: Timestamp) -> Vec<RunId> {
        let lost = runs.iter().filter(|(run, fence)| {
            let holds = self
                .running
                .get(run)
                .is_some_and(|running| running.run.fence == *fence);
            !(holds && self.board.heartbeat(*run, until))
        });
        lost.map(|(run, _)| *run).collect::<Vec<_>>()
    }

    pub(crate) fn reap(&mut self, why: &Failure, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
        let mut writes = Writes::default();
        let expired = self.board.expire(now);
        self.put_changes(&mut writes, &expired)?;
        let mut overdue = self.board.overdue(now);
        // Those whose snapshots end come next time.
        overdue.retain(|run| self.ending_of(*run).is_none());
        let mut events = Vec::new();
        for id in &overdue {
            if let Some(running) = self.running.get(id) {
                let end = rules::interrupted(&running.run, why, now);
                events.extend(self.end_run(&mut writes, *id, end)?);
            }
        }
        self.apply_telling(writes, events, None)?;
        for id in &overdue {
            self.running.remove(id);
        }
        Ok(overdue)
    }

    pub(crate) fn cancel_job(&mut self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        let known = self.stored_job(id)?;
        if !known.state.is_active() {
            return Ok(known);
        }
        let (job, changes) = self.board.cancel_job(id, now)?;
        self.apply_changes(&changes)?;
        Ok(job)
    }

    pub(crate) fn redrive_job(&mut self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        let job = self.stored_job(id)?;
        self.connection_number(job.target.connection())?;
        let mut writes = Writes::default();
        let is_new = self.retake_key(&mut writes, &job, now)?;
        let (job, changes) = self.board.redrive(job, now)?;
        self.put_changes(&mut writes, &changes)?;
        self.relist_job(&mut writes, &job, ends::DEAD)?;
        self.apply(writes)?;
        if is_new {
            self.count_key(&job)?;
        }
        Ok(job)
    }

    pub(crate) fn discard_job(&mut self, id: JobId, now: Timestamp) -> Result<Job, StoreError> {
        let (job, changes) = Board::discard(self.stored_job(id)?, now)?;
        self.apply_changes(&changes)?;
        Ok(job)
    }

    /// Those that wait or run, newest first.
    pub(crate) fn active_jobs(&self, filter: JobFilter) -> Vec<Job> {
        let filter = rules::with_connection(&self.board, filter);
        let before = |job: &&Job| filter.before.is_none_or(|before| job.id < before);
        let wanted = self.board.active_jobs().filter(before);
        let mut jobs: Vec<&Job> = wanted.filter(|job| filter.matches(job)).collect();
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
        jobs.into_iter().take(filter.limit).cloned().collect()
    }

    pub(crate) fn queue_figures(&self, now: Timestamp) -> QueueFigures {
        rules::queue_figures(&self.board, now)
    }

    /// Forget some of the keys of runs that ended before `before`; says whether none is left. A key must not
    /// outlive its run.
    pub(crate) fn forget_keys(&mut self, before: Timestamp) -> Result<bool, StoreError> {
        self.expire_later(Timestamp(before.0.saturating_add(KEPT_MS)));
        self.expiry_step()?;
        Ok(!self.wants_expiry())
    }

    pub(crate) fn forget_ended(
        &mut self,
        before: Timestamp,
        limit: usize,
    ) -> Result<RetentionReport, StoreError> {
        self.expire_requests_later(before);
        let mut writes = Writes::default();
        let jobs = self.forget_jobs(&mut writes, before, limit)?;
        let runs = self.forget_runs(&mut writes, before, limit)?;
        let fires = self.forget_fires(&mut writes, before, limit)?;
        self.apply(writes)?;
        Ok(RetentionReport {
            jobs,
            runs,
            fires,
            more: [jobs, runs, fires].contains(&limit),
        })
    }

    fn forget_jobs(
        &self,
        writes: &mut Writes,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let view = self.view();
        let prefix = Key::new(Tag::Job);
        let mut forgotten = 0;
        for item in view.prefix(&prefix) {
            let (key, value) = item?;
            let job: Job = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            if job.id.time() >= before || forgotten == limit {
                break;
            }
            if job.ended_at.is_none_or(|at| at >= before) {
                continue;
            }
            // One whose connection is being purged goes with it.
            if let Ok(connection) = self.connection_number(job.target.connection()) {
                let integration = &job.target.connection().integration;
                for list in lists_of_job(integration, connection, ends::of_job(&job)) {
                    writes.remove_short(list.raw(&job.id.to_bytes()));
                }
                writes.remove(&view, keys::job(job.id))?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn forget_runs(
        &self,
        writes: &mut Writes,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let view = self.view();
        let mut forgotten = 0;
        for item in view.prefix(&Key::new(Tag::Run)) {
            let (key, value) = item?;
            let run: Run = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            if run.id.time() >= before || forgotten == limit {
                break;
            }
            if run.end.as_ref().is_none_or(|end| end.at >= before) {
                continue;
            }
            let connection = run.target.connection();
            let Ok(number) = self.connection_number(connection) else {
                continue;
            };
            writes.remove_prefix(&view, &keys::logs(run.id))?;
            writes.remove_any(&view, keys::output(run.id))?;
            writes.remove(&view, keys::run(run.id))?;
            let integration = &connection.integration;
            for list in lists_of_run(integration, number, ends::of_run(&run)) {
                writes.remove_short(list.run(run.id));
            }
            forgotten += 1;
        }
        Ok(forgotten)
    }

    fn forget_fires(
        &self,
        writes: &mut Writes,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let view = self.view();
        let mut forgotten = 0;
        for schedule in self.board.schedules(None) {
            let first = keys::fires(schedule.id);
            for item in view.range(&first, &keys::fire(schedule.id, before)) {
                if forgotten == limit {
                    return Ok(forgotten);
                }
                let (key, value) = item?;
                let fire: Fire = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
                let is_over = match fire.outcome {
                    FireOutcome::Started { job } => self.board.active_job(job).is_none(),
                    _ => true,
                };
                if fire.at < before && is_over {
                    writes.remove_short(Key::stored(&key));
                    forgotten += 1;
                }
            }
        }
        Ok(forgotten)
    }
}

/// The lists that name the jobs of a connection that have come to `end`.
pub(super) fn lists_of_job(integration: &Name, connection: u64, end: u8) -> [Key; 2] {
    [
        keys::jobs_of_integration(integration).end(end),
        keys::jobs_of_connection(connection).end(end),
    ]
}

/// A job, if its connection is there.
pub(crate) fn job(view: &Rows<'_>, id: JobId) -> Result<Job, StoreError> {
    let job: Option<Job> = view.row(&keys::job(id), rows::decode)?;
    let job = job.filter(|job| is_listed(view, job).unwrap_or(true));
    job.ok_or_else(|| not_found("job", &id))
}

/// What the action of a job returned, as long as that is remembered.
pub(crate) fn job_output(view: &Rows<'_>, id: JobId) -> Result<Option<String>, StoreError> {
    let job = job(view, id)?;
    match job.run.filter(|_| job.holds_key) {
        Some(run) => view.row(&keys::output(run), keys::decode_text),
        None => Ok(None),
    }
}

/// Whether a job is one of a connection that is there: one of the same name may have been dropped.
fn is_listed(view: &Rows<'_>, job: &Job) -> Result<bool, StoreError> {
    let row = match crate::read::connection(view, job.target.connection()) {
        Err(StoreError::NotFound { .. }) => return Ok(false),
        row => row?,
    };
    let list = keys::jobs_of_connection(row.number).end(ends::of_job(job));
    Ok(view.get(&list.raw(&job.id.to_bytes()))?.is_some())
}

/// At most `wanted` jobs from before `before` on, newest first; and where to go on, unless there are no more.
pub(crate) fn some_jobs(
    view: &View<'_>,
    filter: &JobFilter,
    before: Option<JobId>,
    wanted: usize,
) -> Result<(Vec<Job>, Option<JobId>), StoreError> {
    let schedule = filter
        .schedule
        .map(|id| view.row(&keys::schedule(id), rows::decode));
    let schedule: Option<Schedule> = schedule.transpose()?.flatten();
    let own = schedule
        .as_ref()
        .map(|schedule| schedule.definition.target.connection());
    let filter = &filter.clone().of_connection(own);
    let lists = match (&filter.connection, &filter.integration) {
        (Some(key), _) => match crate::read::connection(view, key) {
            Ok(row) => vec![keys::jobs_of_connection(row.number)],
            Err(StoreError::NotFound { .. }) => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        },
        (None, Some(integration)) => vec![keys::jobs_of_integration(integration)],
        (None, None) if filter.state.is_none() => Vec::new(),
        (None, None) => of_integrations(view, keys::jobs_of_integration)?,
    };
    let lists = match (lists.is_empty(), &filter.state) {
        (true, None) => vec![Key::new(Tag::Job)],
        (_, state) => by_end(&lists, &ends::of_jobs(state.as_deref())),
    };
    let mut jobs = Vec::new();
    let mut last = before;
    let ids = Newest::of(view, lists, before.map(JobId::to_bytes));
    for (count, id) in ids.enumerate() {
        if jobs.len() >= wanted || count >= SCAN {
            return Ok((jobs, last));
        }
        let id = JobId::from_bytes(id?);
        last = Some(id);
        let job: Option<Job> = view.row(&keys::job(id), rows::decode)?;
        if let Some(job) = job.filter(|job| filter.matches(job))
            && is_listed(view, &job)?
        {
            jobs.push(job);
        }
    }
    Ok((jobs, None))
}
