//! Schedules on the board: made, changed, paused, and fired when they are due.

use crate::job::{ConcurrencyKey, FireKey, Job, JobId, JobState, NewJob, Priority};
use crate::limits::{ACTIVE_JOBS, SCHEDULES};
use crate::run::{RunId, Trigger};
use crate::schedule::{
    Calendar, Definition, DefinitionError, Fire, FireOutcome, Origin, Overlap, Pause, Progress,
    Schedule, ScheduleId,
};
use crate::{StoreError, Timestamp};

use super::{Board, Outcomes, fire};

/// What a backend stores.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Schedule(Schedule),
    /// The schedule is gone.
    Removed(Schedule),
    Fire(Fire),
    /// New, or changed.
    Job(Job),
}

/// What firing one schedule came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub schedule: ScheduleId,
    /// How long after its moments it is due.
    pub spread_ms: u64,
    pub fires: Vec<Fire>,
    /// Runs that are to stop, because a later fire takes their place.
    pub cancelled: Vec<RunId>,
}

fn no_schedule(id: ScheduleId) -> StoreError {
    StoreError::NotFound {
        what: "schedule",
        name: id.to_string(),
    }
}

impl Board {
    /// A schedule, if there is one.
    pub fn schedule(&self, id: ScheduleId) -> Result<&Schedule, StoreError> {
        let entry = self.schedules.get(&id).ok_or_else(|| no_schedule(id))?;
        Ok(&entry.schedule)
    }

    /// All schedules after `after`, by id.
    pub fn schedules(&self, after: Option<ScheduleId>) -> impl Iterator<Item = &Schedule> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let rest = self.schedules.range((from, std::ops::Bound::Unbounded));
        rest.map(|(_, entry)| &entry.schedule)
    }

    /// Make a schedule, or change the one of this id or dedup key. With `revision`, only if that is its
    /// present one. A definition that is there already changes nothing.
    pub fn put_schedule(
        &mut self,
        id: ScheduleId,
        definition: Definition,
        origin: Origin,
        revision: Option<u64>,
        now: Timestamp,
    ) -> Result<(Schedule, Vec<Change>), StoreError> {
        definition.check().map_err(StoreError::Definition)?;
        let known = definition.dedup_key.as_ref();
        let known = known.and_then(|key| self.by_dedup_key.get(key)).copied();
        if let (Some(other), true) = (known, self.schedules.contains_key(&id))
            && other != id
        {
            let name = definition.dedup_key.unwrap_or_default();
            let what = "dedup key";
            return Err(StoreError::Exists { what, name });
        }
        let id = known.unwrap_or(id);
        let calendar = Calendar::new(id, &definition).map_err(StoreError::Definition)?;
        let first = calendar.due_after(now);
        let Some(entry) = self.schedules.get(&id) else {
            if revision.is_some() {
                return Err(no_schedule(id));
            }
            check_moments(&definition, None, now)?;
            if first.is_none() {
                return Err(StoreError::Definition(DefinitionError::Never));
            }
            if self.schedules.len() as u64 >= SCHEDULES {
                return Err(StoreError::Full {
                    what: "schedules",
                    limit: "schedules",
                    most: SCHEDULES,
                });
            }
            let schedule = Schedule {
                id,
                definition,
                origin,
                revision: 1,
                created_at: now,
                updated_at: now,
                progress: Progress {
                    next: first,
                    ..Progress::default()
                },
            };
            self.put_entry(schedule.clone());
            return Ok((schedule.clone(), vec![Change::Schedule(schedule)]));
        };
        let mut schedule = entry.schedule.clone();
        check_revision(&schedule, revision)?;
        let connection = schedule.definition.target.connection();
        if definition.target.connection() != connection {
            let moved = DefinitionError::Moved(connection.clone());
            return Err(StoreError::Definition(moved));
        }
        check_moments(&definition, Some(&schedule.definition), now)?;
        if schedule.definition == definition {
            return Ok((schedule, Vec::new()));
        }
        let otherwise = schedule.definition.is_due_otherwise(&definition);
        schedule.definition = definition;
        schedule.revision += 1;
        schedule.updated_at = now;
        if otherwise {
            // What was due by the old rules is not made up for.
            restart(&mut schedule, &calendar, now);
        }
        self.put_entry(schedule.clone());
        Ok((schedule.clone(), vec![Change::Schedule(schedule)]))
    }

    /// Fire nothing until it is resumed.
    pub fn pause_schedule(
        &mut self,
        id: ScheduleId,
        pause: Pause,
    ) -> Result<(Schedule, Vec<Change>), StoreError> {
        let mut schedule = self.schedule(id)?.clone();
        schedule.revision += 1;
        schedule.updated_at = pause.at;
        schedule.progress.paused = Some(pause);
        schedule.progress.next = None;
        self.put_progress(&schedule);
        Ok((schedule.clone(), vec![Change::Schedule(schedule)]))
    }

    /// Go on from now: what was due meanwhile is not made up for.
    pub fn resume_schedule(
        &mut self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<(Schedule, Vec<Change>), StoreError> {
        let mut schedule = self.schedule(id)?.clone();
        if schedule.progress.paused.is_none() {
            return Ok((schedule, Vec::new()));
        }
        schedule.revision += 1;
        schedule.updated_at = now;
        let entry = self.schedules.get(&id);
        let calendar = entry.and_then(|entry| entry.calendar.as_ref());
        resume(&mut schedule, calendar, now);
        self.put_progress(&schedule);
        Ok((schedule.clone(), vec![Change::Schedule(schedule)]))
    }

    /// Remove a schedule. Its jobs that wait are cancelled; those that run go on.
    pub fn remove_schedule(
        &mut self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Vec<Change>, StoreError> {
        self.schedule(id)?;
        let mut changes = Vec::new();
        for job in self.jobs_of.get(&id).cloned().unwrap_or_default() {
            let waits = |job: &&Job| job.state == JobState::Queued;
            if let Some(job) = self.jobs.get(&job).filter(waits) {
                let mut job = job.clone();
                job.end(JobState::Cancelled, now);
                self.put_job(&job);
                changes.push(Change::Job(job));
            }
        }
        let removed = self.take_entry(id);
        changes.extend(removed.map(Change::Removed));
        Ok(changes)
    }

    /// The next moment at which [`Self::fire_due`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timetable.first().map(|(at, _)| *at)
    }

    /// Fire what is due, at most `limit` schedules. Moments that have their `outcomes` already, which is so
    /// only after a clock went back, keep them.
    pub fn fire_due(
        &mut self,
        now: Timestamp,
        limit: usize,
        outcomes: &dyn Outcomes,
    ) -> Result<(Vec<Fired>, Vec<Change>), StoreError> {
        let mut changes = Vec::new();
        let mut fired = Vec::new();
        self.follow_clock(now, &mut changes);
        let due: Vec<ScheduleId> = self
            .timetable
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(limit)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            if self.queue.len() as u64 >= ACTIVE_JOBS {
                // They stay due; once there is room, their misfire policy decides.
                break;
            }
            match self.fire_one(id, now, outcomes, &mut changes) {
                Ok(one) => fired.extend(one),
                // What has been decided is stored first; the next call comes to the error again.
                Err(error) if changes.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok((fired, changes))
    }

    fn fire_one(
        &mut self,
        id: ScheduleId,
        now: Timestamp,
        outcomes: &dyn Outcomes,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Fired>, StoreError> {
        let Some(entry) = self.schedules.get(&id) else {
            return Ok(None);
        };
        let Some(calendar) = &entry.calendar else {
            return Ok(None);
        };
        let mut schedule = entry.schedule.clone();
        if let Some(pause) = &schedule.progress.paused {
            // It ended then, whether or not there was a server.
            let until = pause.until.unwrap_or(now).min(now);
            schedule.revision += 1;
            resume(&mut schedule, Some(calendar), until);
        }
        let Some(first) = schedule.progress.next.filter(|due| due.at <= now) else {
            self.put_progress(&schedule);
            changes.push(Change::Schedule(schedule));
            return Ok(None);
        };
        let plan = calendar.plan(first, now);
        let fresh = without_outcome(id, plan.fires, outcomes)?;
        let mut rows: Vec<Fire> = Vec::new();
        let mut cancelled = Vec::new();
        for missed in plan.missed {
            let own = readable(outcomes.own(id, missed.0, missed.1))?;
            for (from, until, moments) in calendar.without(missed, &own) {
                schedule.progress.missed += moments;
                let outcome = FireOutcome::Missed { until, moments };
                rows.push(fire(id, from, now, outcome));
            }
        }
        let held = self.hold_of(&schedule.definition.target);
        // Those of one catching up wait for one another, and for what is active.
        let asks = fresh.len() == 1 || schedule.definition.overlap == Overlap::CancelPrevious;
        for (index, moment) in fresh.into_iter().enumerate() {
            let spent = schedule.definition.max_fires;
            if spent.is_some_and(|max| schedule.progress.fires >= max) {
                break;
            }
            let asks = asks && index == 0;
            let outcome = if let Some(reason) = held {
                schedule.progress.held += 1;
                FireOutcome::Held { reason }
            } else if asks && !self.may_start(&schedule, now, changes, &mut cancelled) {
                schedule.progress.overlaps += 1;
                FireOutcome::Overlap
            } else {
                schedule.progress.fires += 1;
                let job = self.fire_job(&schedule, moment, now);
                let id = job.id;
                self.put_job(&job);
                changes.push(Change::Job(job));
                FireOutcome::Started { job: id }
            };
            rows.push(fire(id, moment, now, outcome));
        }
        let progress = &mut schedule.progress;
        let spent = schedule
            .definition
            .max_fires
            .is_some_and(|max| progress.fires >= max);
        progress.next = plan.next.filter(|_| !spent);
        progress.completed = progress.next.is_none();
        progress.fired_at = Some(now);
        self.put_progress(&schedule);
        changes.push(Change::Schedule(schedule));
        changes.extend(rows.iter().cloned().map(Change::Fire));
        Ok(Some(Fired {
            schedule: id,
            spread_ms: first.at.since(first.scheduled_for),
            fires: rows,
            cancelled,
        }))
    }

    /// What the overlap policy says to another job; it may cancel earlier ones.
    fn may_start(
        &mut self,
        schedule: &Schedule,
        now: Timestamp,
        changes: &mut Vec<Change>,
        cancelled: &mut Vec<RunId>,
    ) -> bool {
        // Backfills have a turn of their own.
        let is_own = |id: &&JobId| {
            let job = self.jobs.get(id);
            job.is_some_and(|job| job.trigger != Trigger::Backfill)
        };
        let active = self.jobs_of.get(&schedule.id).into_iter().flatten();
        let active: Vec<JobId> = active.filter(is_own).copied().collect();
        let waits = |id: &JobId| {
            self.jobs
                .get(id)
                .is_some_and(|job| job.state == JobState::Queued)
        };
        match schedule.definition.overlap {
            Overlap::Skip => active.is_empty(),
            Overlap::QueueOne => active.len() < 2 && !active.iter().any(waits),
            Overlap::Allow { max } => active.len() < max as usize,
            Overlap::CancelPrevious => {
                for id in active {
                    if let Some(job) = self.cancel(id, now) {
                        cancelled.extend(job.run.filter(|_| job.state.is_active()));
                        changes.push(Change::Job(job));
                    }
                }
                true
            }
        }
    }

    /// The job of one fire.
    fn fire_job(&mut self, schedule: &Schedule, moment: Timestamp, now: Timestamp) -> Job {
        let key = FireKey {
            schedule: schedule.id,
            scheduled_for: moment,
        };
        let definition = &schedule.definition;
        let priority = definition.priority;
        let new = of_fire(definition, key, priority, Trigger::Schedule, now);
        let place = self.place(definition.target.connection(), priority, now, now);
        Job::queued(new, place)
    }
}

/// The moments that have no outcome of their own yet.
fn without_outcome(
    id: ScheduleId,
    moments: Vec<Timestamp>,
    outcomes: &dyn Outcomes,
) -> Result<Vec<Timestamp>, StoreError> {
    let mut fresh = Vec::new();
    for moment in moments {
        let fire = readable(outcomes.of(id, moment))?;
        if !fire.is_some_and(|fire| fire.outcome.is_own()) {
            fresh.push(moment);
        }
    }
    Ok(fresh)
}

/// One that can't be read must not stop its schedule, and with it all others.
fn readable<T: Default>(found: Result<T, StoreError>) -> Result<T, StoreError> {
    match found {
        Err(StoreError::Damaged { .. }) => Ok(T::default()),
        found => found,
    }
}

fn check_moments(
    definition: &Definition,
    before: Option<&Definition>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match definition.names_the_past(before, now) {
        true => Err(StoreError::Definition(DefinitionError::Past)),
        false => Ok(()),
    }
}

/// Its pause ended at `until`, and it has to be planned from there on.
fn resume(schedule: &mut Schedule, calendar: Option<&Calendar>, until: Timestamp) {
    schedule.progress.paused = None;
    schedule.progress.failures = 0;
    if let Some(calendar) = calendar {
        restart(schedule, calendar, until);
    }
}

/// Plan from `now` on.
fn restart(schedule: &mut Schedule, calendar: &Calendar, now: Timestamp) {
    let spent = schedule.definition.max_fires;
    let spent = spent.is_some_and(|max| schedule.progress.fires >= max);
    let next = calendar.due_after(now).filter(|_| !spent);
    schedule.progress.completed = next.is_none();
    schedule.progress.next = next.filter(|_| schedule.progress.paused.is_none());
}

fn check_revision(schedule: &Schedule, revision: Option<u64>) -> Result<(), StoreError> {
    match revision {
        Some(revision) if revision != schedule.revision => Err(StoreError::Stale {
            what: "schedule",
            name: schedule.id.to_string(),
            revision: schedule.revision,
        }),
        _ => Ok(()),
    }
}

pub(super) fn of_fire(
    definition: &Definition,
    key: FireKey,
    priority: Priority,
    trigger: Trigger,
    now: Timestamp,
) -> NewJob {
    let text = key.to_string();
    let is_action = definition.target.input().is_some();
    NewJob {
        // By when it is made, as lists are in that order.
        id: JobId::derived(now, &[text.as_bytes()]),
        target: definition.target.clone(),
        trigger,
        fire: Some(key),
        priority,
        concurrency: Some(ConcurrencyKey {
            key: key.schedule.to_string(),
            max: match definition.overlap {
                Overlap::Allow { max } => max,
                _ => 1,
            },
        }),
        retry: definition.retry,
        due_at: now,
        expires_at: definition
            .queue_ttl_ms
            .map(|ttl| Timestamp(now.0.saturating_add(ttl))),
        idempotency_key: is_action.then(|| key.idempotency_key()).flatten(),
        now,
    }
}
