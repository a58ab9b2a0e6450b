//! Jobs on the board: queued, claimed, settled, cancelled, redriven.

use crate::job::{Job, JobId, JobState, JobTarget, NewJob, judged};
use crate::limits::ACTIVE_JOBS;
use crate::run::{Failure, RunEnd, RunId};
use crate::schedule::{Pause, Schedule};
use crate::webhook::{NewEvent, schedule_paused};
use crate::{StoreError, SyncKey, Timestamp};

use super::{Board, Change, ConcurrencyLimits, Lease};

/// What the end of a run means for its job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    /// The end as it is to be stored.
    pub end: RunEnd,
    pub job: Job,
    /// The schedule that pauses because too many of its jobs failed.
    pub paused: Option<Schedule>,
    pub changes: Vec<Change>,
}

/// What a run's end comes to, for whoever tells of it.
#[derive(Debug)]
pub struct Ended {
    /// The end as it is to be stored.
    pub end: RunEnd,
    /// When its job goes on, if it does.
    pub retry_at: Option<Timestamp>,
    /// The event of a schedule that pauses.
    pub paused: Option<NewEvent>,
}

impl Ended {
    /// The end of a run that has no job.
    #[must_use]
    pub fn without_job(end: RunEnd) -> Self {
        Self {
            end,
            retry_at: None,
            paused: None,
        }
    }
}

impl From<JobEnd> for Ended {
    fn from(settled: JobEnd) -> Self {
        let goes_on = settled.job.state == JobState::Queued;
        Self {
            end: settled.end,
            retry_at: goes_on.then_some(settled.job.due_at),
            paused: settled.paused.as_ref().and_then(schedule_paused),
        }
    }
}

fn no_job(id: JobId) -> StoreError {
    StoreError::NotFound {
        what: "job that waits or runs",
        name: id.to_string(),
    }
}

fn no_room() -> StoreError {
    StoreError::Full {
        what: "jobs that wait or run",
        limit: "active_jobs",
        most: ACTIVE_JOBS,
    }
}

impl Board {
    /// A job that waits or runs.
    #[must_use]
    pub fn active_job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The jobs that wait or run.
    pub fn active_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// How many jobs run, how many could start at `now`, and since when the oldest of these could.
    #[must_use]
    pub fn figures(&self, now: Timestamp) -> (usize, usize, Option<Timestamp>) {
        self.queue.figures(now)
    }

    /// Queue a job. One of the same id is handed out as it is; so is a sync that waits already and would
    /// do the same.
    pub fn enqueue(&mut self, new: NewJob) -> Result<(Job, Vec<Change>), StoreError> {
        if let Some(job) = self.jobs.get(&new.id) {
            return Ok((job.clone(), Vec::new()));
        }
        if new.fire.is_none()
            && let JobTarget::Sync { connection, .. } = &new.target
        {
            let waiting = self.queue.waiting_of(connection);
            let mut own = waiting.filter_map(|id| self.jobs.get(&id));
            let same = own.find(|job| {
                job.target == new.target && job.priority <= new.priority && job.due_at <= new.due_at
            });
            if let Some(same) = same {
                return Ok((same.clone(), Vec::new()));
            }
        }
        if self.queue.len() as u64 >= ACTIVE_JOBS {
            return Err(no_room());
        }
        let place = self.place(new.target.connection(), new.priority, new.due_at, new.now);
        let job = Job::queued(new, place);
        self.put_job(&job);
        Ok((job.clone(), vec![Change::Job(job)]))
    }

    /// Queue all of these, or none.
    pub fn enqueue_all(&mut self, new: Vec<NewJob>) -> Result<Vec<Change>, StoreError> {
        if (self.queue.len() + new.len()) as u64 > ACTIVE_JOBS {
            return Err(no_room());
        }
        let mut changes = Vec::new();
        for new in new {
            changes.extend(self.enqueue(new)?.1);
        }
        Ok(changes)
    }

    /// Queue a job that holds its idempotency key, which nobody else does.
    pub fn enqueue_keyed(&mut self, new: NewJob) -> Result<(Job, Vec<Change>), StoreError> {
        let (mut job, _) = self.enqueue(new)?;
        job.holds_key = true;
        self.put_job(&job);
        Ok((job.clone(), vec![Change::Job(job)]))
    }

    /// End jobs that have waited for too long.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((_, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            let Some(job) = self.jobs.get(&id) else {
                break;
            };
            let mut job = job.clone();
            job.end(JobState::Expired, now);
            self.put_job(&job);
            changes.push(Change::Job(job));
        }
        changes
    }

    /// The job that starts next, if one may: [`Self::claim`] takes it, with the same caps at the same time.
    pub fn candidate(&mut self, caps: ConcurrencyLimits, now: Timestamp) -> Option<JobId> {
        self.queue.first(now, caps)
    }

    /// End a job that waits and can't be started, because something that it needs is damaged. Returns the event
    /// of its schedule's pause, too.
    pub fn bury(
        &mut self,
        id: JobId,
        why: Failure,
        now: Timestamp,
    ) -> (Vec<Change>, Option<NewEvent>) {
        let Some(mut job) = self.jobs.get(&id).cloned() else {
            return (Vec::new(), None);
        };
        job.failure = Some(why);
        job.end(JobState::Dead, now);
        self.put_job(&job);
        let mut changes = vec![Change::Job(job.clone())];
        let paused = self.count_failure(&job, now, &mut changes);
        (changes, paused.as_ref().and_then(schedule_paused))
    }

    /// The job that starts next as the run `run`, if one may. It has its lease from then on.
    pub fn claim(
        &mut self,
        run: RunId,
        caps: ConcurrencyLimits,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Option<Job> {
        let id = self.queue.first(now, caps)?;
        self.queue.start(id);
        let job = self.jobs.get_mut(&id)?;
        if let Some(at) = job.expires_at {
            self.expiries.remove(&(at, id));
        }
        job.state = JobState::Running { cancel: false };
        job.run = Some(run);
        self.leases.insert(
            run,
            Lease {
                job: id,
                until: lease_until,
            },
        );
        Some(job.clone())
    }

    /// The next moment after `now` at which a job may start or expires.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let later = Timestamp(now.0.saturating_add(1));
        let mut expiries = self.expiries.range((later, JobId::from_bytes([0; 16]))..);
        let expiry = expiries.next().map(|(at, _)| *at);
        self.queue.next_due(now).into_iter().chain(expiry).min()
    }

    /// A sync runs that no job is for, or has ended.
    pub fn set_busy(&mut self, sync: &SyncKey, busy: bool) {
        self.queue.set_busy(sync, busy);
    }

    /// Prolong a lease; false if it is gone.
    pub fn heartbeat(&mut self, run: RunId, until: Timestamp) -> bool {
        let lease = self.leases.get_mut(&run);
        lease.is_some_and(|lease| {
            lease.until = lease.until.max(until);
            true
        })
    }

    /// The runs whose leases have ended.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<RunId> {
        let leases = self.leases.iter().filter(|(_, lease)| lease.until <= now);
        leases.map(|(run, _)| *run).collect()
    }

    /// The run of a job has ended, with the sync's checkpoint as `mark` tells it.
    pub fn settle(&mut self, id: JobId, run: RunId, end: RunEnd, mark: u64) -> Option<JobEnd> {
        let job = self.jobs.get(&id).filter(|job| job.run == Some(run))?;
        let end = judged(job, end, mark);
        let mut job = job.clone();
        job.settle(&end, mark);
        if job.state == JobState::Queued {
            // It gives way to those of its connection that have waited meanwhile.
            let key = job.target.connection();
            job.place = self.place(key, job.priority, job.due_at, end.at);
        }
        self.leases.remove(&run);
        self.put_job(&job);
        let mut changes = vec![Change::Job(job.clone())];
        let paused = self.count_failure(&job, end.at, &mut changes);
        Some(JobEnd {
            end,
            job,
            paused,
            changes,
        })
    }

    /// Count a job that ended in its schedule's failures in a row, which may pause the schedule.
    fn count_failure(
        &mut self,
        job: &Job,
        at: Timestamp,
        changes: &mut Vec<Change>,
    ) -> Option<Schedule> {
        let schedule = &self.schedules.get(&job.fire?.schedule)?.schedule;
        let before = schedule.progress.failures;
        let failures = match job.state {
            JobState::Succeeded => 0,
            JobState::Dead => before + 1,
            _ => return None,
        };
        if failures == before {
            return None;
        }
        let mut schedule = schedule.clone();
        schedule.progress.failures = failures;
        let most = schedule.definition.pause_on_failures;
        let pauses =
            most.is_some_and(|most| failures >= most) && schedule.progress.paused.is_none();
        if pauses {
            schedule.revision += 1;
            schedule.updated_at = at;
            schedule.progress.next = None;
            schedule.progress.paused = Some(Pause {
                at,
                note: format!("{failures} jobs in a row failed for good"),
                until: None,
                failures: Some(failures),
            });
        }
        self.put_progress(&schedule);
        changes.push(Change::Schedule(schedule.clone()));
        pauses.then_some(schedule)
    }

    /// Cancel a job: one that waits ends, one that runs is to stop.
    pub fn cancel_job(
        &mut self,
        id: JobId,
        now: Timestamp,
    ) -> Result<(Job, Vec<Change>), StoreError> {
        let job = self.jobs.get(&id).ok_or_else(|| no_job(id))?.clone();
        let changed = self.cancel(id, now);
        let job = changed.clone().unwrap_or(job);
        Ok((job, changed.into_iter().map(Change::Job).collect()))
    }

    pub(super) fn cancel(&mut self, id: JobId, now: Timestamp) -> Option<Job> {
        let job = self.jobs.get_mut(&id)?;
        match &mut job.state {
            JobState::Running { cancel } if *cancel => None,
            JobState::Running { cancel } => {
                *cancel = true;
                Some(job.clone())
            }
            _ => {
                let mut job = job.clone();
                job.end(JobState::Cancelled, now);
                self.put_job(&job);
                Some(job)
            }
        }
    }

    /// Queue a dead job again. The caller has read it: dead jobs are not on the board.
    pub fn redrive(
        &mut self,
        mut job: Job,
        now: Timestamp,
    ) -> Result<(Job, Vec<Change>), StoreError> {
        if job.state != JobState::Dead {
            return Err(not_dead(&job));
        }
        if self.queue.len() as u64 >= ACTIVE_JOBS {
            return Err(StoreError::Full {
                what: "jobs that wait or run",
                limit: "active_jobs",
                most: ACTIVE_JOBS,
            });
        }
        job.redrive(now);
        job.place = self.place(job.target.connection(), job.priority, now, now);
        self.put_job(&job);
        Ok((job.clone(), vec![Change::Job(job)]))
    }

    /// Give a dead job up.
    pub fn discard(mut job: Job, now: Timestamp) -> Result<(Job, Vec<Change>), StoreError> {
        if job.state != JobState::Dead {
            return Err(not_dead(&job));
        }
        job.end(JobState::Discarded, now);
        Ok((job.clone(), vec![Change::Job(job)]))
    }
}

fn not_dead(job: &Job) -> StoreError {
    StoreError::State {
        what: "job",
        name: job.id.to_string(),
        state: job.state.as_str(),
        wanted: "dead",
    }
}
