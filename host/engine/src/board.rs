//! Schedules and jobs as one state machine: what fires, what starts, what becomes of it.
//!
//! A backend keeps a board in memory and stores what the board says has changed. Every method decides
//! first and changes after, so that an error has changed nothing. The rules are here once; what a
//! backend adds is that [`Change`]s reach the disk together with the command's other writes.

mod backfill;
mod clock;
mod jobs;
mod queue;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};

use crate::health::{Health, Hold};
use crate::integration::Connection;
use crate::job::{Job, JobId, JobState, JobTarget};
use crate::run::RunId;
use crate::schedule::{Calendar, Fire, Schedule, ScheduleId};
use crate::{ConnectionKey, StoreError, Timestamp};

pub use jobs::{Ended, JobEnd};
pub use queue::ConcurrencyLimits;
use queue::Queue;
pub use schedules::{Change, Fired};

/// All schedules, and the jobs that wait or run.
#[derive(Debug, Default)]
pub struct Board {
    schedules: BTreeMap<ScheduleId, Entry>,
    by_dedup_key: BTreeMap<String, ScheduleId>,
    /// When each schedule has to be looked at.
    timetable: BTreeSet<(Timestamp, ScheduleId)>,
    jobs: BTreeMap<JobId, Job>,
    jobs_of: BTreeMap<ScheduleId, BTreeSet<JobId>>,
    /// Jobs by when they expire.
    expiries: BTreeSet<(Timestamp, JobId)>,
    queue: Queue,
    leases: BTreeMap<RunId, Lease>,
    /// Of connections something of which is held, as far as they have schedules.
    standings: BTreeMap<ConnectionKey, ConnectionHolds>,
    /// The latest moment of which it has heard.
    latest: Timestamp,
}

#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    /// `None` for one whose rules this build can't read, or that is idle; it is never due.
    calendar: Option<Calendar>,
}

impl Entry {
    /// When it has to be looked at: it is due, or its pause is over.
    fn wake_at(&self) -> Option<Timestamp> {
        let progress = &self.schedule.progress;
        let at = match &progress.paused {
            Some(pause) => pause.until,
            None => progress.next.map(|due| due.at),
        };
        at.filter(|_| self.calendar.is_some())
    }
}

/// What a backend has stored of the outcomes of moments.
pub trait Outcomes {
    /// That of a moment, or of several of which it is the first.
    fn of(&self, schedule: ScheduleId, moment: Timestamp) -> Result<Option<Fire>, StoreError>;

    /// The moments from `from` to `until`, both included, that have one of their own
    /// ([`FireOutcome::is_own`](crate::schedule::FireOutcome::is_own)).
    fn own(
        &self,
        schedule: ScheduleId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeSet<Timestamp>, StoreError>;
}

/// What is held of a connection.
#[derive(Debug)]
struct ConnectionHolds {
    /// The token endpoint rejects its credentials.
    is_rejected: bool,
    health: Health,
}

/// Who runs a job, and how long that is taken for granted.
#[derive(Debug, Clone, Copy)]
struct Lease {
    job: JobId,
    until: Timestamp,
}

impl Board {
    /// Take in a schedule that is stored.
    pub fn load_schedule(&mut self, schedule: Schedule) {
        self.latest = self.latest.max(schedule.decided_at());
        self.put_entry(schedule);
    }

    /// The same for one that could not be fired, as something that it needs is damaged: it is never due.
    pub fn load_idle_schedule(&mut self, schedule: Schedule) {
        let id = schedule.id;
        self.load_schedule(schedule);
        if let Some(entry) = self.schedules.get_mut(&id) {
            if let Some(at) = entry.wake_at() {
                self.timetable.remove(&(at, id));
            }
            entry.calendar = None;
        }
    }

    /// Take in how a connection stands, whenever that may have changed, and with its first schedule.
    pub fn set_standing(&mut self, connection: &Connection) {
        if connection.is_healthy() {
            self.standings.remove(&connection.key);
            return;
        }
        let standing = ConnectionHolds {
            is_rejected: connection.auth_failed.is_some(),
            health: connection.health.clone(),
        };
        self.standings.insert(connection.key.clone(), standing);
    }

    /// The connections of which something is known to fail.
    pub fn unhealthy(&self) -> impl Iterator<Item = &ConnectionKey> {
        self.standings.keys()
    }

    /// Why a target is not to be fired, if so.
    fn hold_of(&self, target: &JobTarget) -> Option<Hold> {
        let standing = self.standings.get(target.connection())?;
        match standing.is_rejected {
            true => Some(Hold::AuthFailed),
            false => standing.health.hold_of(target),
        }
    }

    /// Take in a job that is stored and waits or runs.
    pub fn load_job(&mut self, job: &Job) {
        if job.state == JobState::Queued {
            self.latest = self.latest.max(job.queued_at());
        }
        self.put_job(job);
    }

    fn put_entry(&mut self, schedule: Schedule) {
        let id = schedule.id;
        self.take_entry(id);
        if let Some(key) = &schedule.definition.dedup_key {
            self.by_dedup_key.insert(key.clone(), id);
        }
        let calendar = Calendar::new(id, &schedule.definition).ok();
        let entry = Entry { schedule, calendar };
        if let Some(at) = entry.wake_at() {
            self.timetable.insert((at, id));
        }
        self.schedules.insert(id, entry);
    }

    /// The same for a schedule whose definition is as it was.
    fn put_progress(&mut self, schedule: &Schedule) {
        let id = schedule.id;
        let Some(entry) = self.schedules.get_mut(&id) else {
            return;
        };
        if let Some(at) = entry.wake_at() {
            self.timetable.remove(&(at, id));
        }
        entry.schedule.progress = schedule.progress.clone();
        entry.schedule.revision = schedule.revision;
        entry.schedule.updated_at = schedule.updated_at;
        if let Some(at) = entry.wake_at() {
            self.timetable.insert((at, id));
        }
    }

    fn take_entry(&mut self, id: ScheduleId) -> Option<Schedule> {
        let entry = self.schedules.remove(&id)?;
        if let Some(at) = entry.wake_at() {
            self.timetable.remove(&(at, id));
        }
        if let Some(key) = &entry.schedule.definition.dedup_key {
            self.by_dedup_key.remove(key);
        }
        Some(entry.schedule)
    }

    /// Keep a job that waits or runs, and forget one that has ended.
    fn put_job(&mut self, job: &Job) {
        self.forget_job(job.id);
        if !job.state.is_active() {
            return;
        }
        if let Some(fire) = job.fire {
            self.jobs_of
                .entry(fire.schedule)
                .or_default()
                .insert(job.id);
        }
        match job.state {
            JobState::Running { .. } => self.queue.insert_running(job),
            _ => {
                if let Some(at) = job.expires_at {
                    self.expiries.insert((at, job.id));
                }
                self.queue.insert(job);
            }
        }
        self.jobs.insert(job.id, job.clone());
    }

    fn forget_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        self.queue.remove(id);
        if let Some(at) = job.expires_at {
            self.expiries.remove(&(at, id));
        }
        if let Some(fire) = job.fire
            && let Some(jobs) = self.jobs_of.get_mut(&fire.schedule)
        {
            jobs.remove(&id);
            if jobs.is_empty() {
                self.jobs_of.remove(&fire.schedule);
            }
        }
    }

    /// Forget everything of a connection that is removed: the ids of its schedules, and of its jobs that
    /// wait or run.
    pub fn remove_connection(&mut self, key: &ConnectionKey) -> (Vec<ScheduleId>, Vec<JobId>) {
        let removed = self.remove_connections(&BTreeSet::from([key]));
        let (schedules, jobs) = removed;
        let schedules = schedules.into_iter().map(|(id, _)| id).collect();
        (schedules, jobs)
    }

    /// The same for several, in one look at all that there is; each schedule with its connection.
    pub fn remove_connections(
        &mut self,
        keys: &BTreeSet<&ConnectionKey>,
    ) -> (Vec<(ScheduleId, ConnectionKey)>, Vec<JobId>) {
        let schedules = self.schedules.values().filter_map(|entry| {
            let key = entry.schedule.definition.target.connection();
            keys.contains(key).then(|| (entry.schedule.id, key.clone()))
        });
        let schedules: Vec<(ScheduleId, ConnectionKey)> = schedules.collect();
        let jobs = self.jobs.values();
        let jobs = jobs.filter(|job| keys.contains(job.target.connection()));
        let jobs: BTreeSet<JobId> = jobs.map(|job| job.id).collect();
        for id in &jobs {
            self.forget_job(*id);
        }
        for (id, _) in &schedules {
            self.take_entry(*id);
        }
        self.leases.retain(|_, lease| !jobs.contains(&lease.job));
        for key in keys {
            self.queue.forget_syncs(key);
            self.standings.remove(*key);
        }
        (schedules, jobs.into_iter().collect())
    }
}

/// A fire with what names it.
fn fire(
    schedule: ScheduleId,
    scheduled_for: Timestamp,
    at: Timestamp,
    outcome: crate::schedule::FireOutcome,
) -> Fire {
    Fire {
        schedule,
        scheduled_for,
        at,
        outcome,
    }
}
