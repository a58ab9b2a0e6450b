//! Schedules and jobs as one state machine: what fires, what starts, what becomes of it.
//!
//! A backend keeps a board in memory and stores what the board says has changed. Every method decides
//! first and changes after, so that an error has changed nothing. The rules are here once; what a
//! backend adds is that [`Change`]s reach the disk together with the command's other writes.

mod jobs;
mod queue;
mod schedules;

use std::collections::{BTreeMap, BTreeSet};

use crate::job::{Job, JobId};
use crate::run::RunId;
use crate::schedule::{Calendar, Fire, Schedule, ScheduleId};
use crate::{ConnectionKey, Timestamp};

pub use jobs::{Ended, Settled};
pub use queue::Caps;
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
    /// The latest moment at which it was asked what is due.
    latest: Timestamp,
}

#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    /// `None` for one whose rules this build can't read; it is never due.
    calendar: Option<Calendar>,
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
        self.latest = self
            .latest
            .max(schedule.progress.fired_at.unwrap_or_default());
        self.put_entry(schedule);
    }

    /// Take in a job that is stored and waits or runs.
    pub fn load_job(&mut self, job: &Job) {
        self.put_job(job);
    }

    fn put_entry(&mut self, schedule: Schedule) {
        let id = schedule.id;
        self.take_entry(id);
        if let Some(at) = wake_at(&schedule) {
            self.timetable.insert((at, id));
        }
        if let Some(key) = &schedule.definition.dedup_key {
            self.by_dedup_key.insert(key.clone(), id);
        }
        let calendar = Calendar::new(id, &schedule.definition).ok();
        self.schedules.insert(id, Entry { schedule, calendar });
    }

    /// The same for a schedule whose definition is as it was.
    fn put_progress(&mut self, schedule: &Schedule) {
        let id = schedule.id;
        let Some(entry) = self.schedules.get_mut(&id) else {
            return;
        };
        if let Some(at) = wake_at(&entry.schedule) {
            self.timetable.remove(&(at, id));
        }
        if let Some(at) = wake_at(schedule) {
            self.timetable.insert((at, id));
        }
        entry.schedule.progress = schedule.progress.clone();
        entry.schedule.revision = schedule.revision;
        entry.schedule.updated_at = schedule.updated_at;
    }

    fn take_entry(&mut self, id: ScheduleId) -> Option<Schedule> {
        let entry = self.schedules.remove(&id)?;
        if let Some(at) = wake_at(&entry.schedule) {
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
            crate::job::JobState::Running { .. } => self.queue.insert_running(job),
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
        let (schedules, jobs) = self.of_connection(key);
        for id in &jobs {
            self.forget_job(*id);
        }
        for id in &schedules {
            self.take_entry(*id);
        }
        self.leases.retain(|_, lease| !jobs.contains(&lease.job));
        self.queue.forget_syncs(key);
        (schedules, jobs)
    }

    fn of_connection(&self, key: &ConnectionKey) -> (Vec<ScheduleId>, Vec<JobId>) {
        let schedules = self.schedules.values();
        let schedules = schedules.filter(|e| e.schedule.definition.target.connection() == key);
        let jobs = self
            .jobs
            .values()
            .filter(|job| job.target.connection() == key);
        (
            schedules.map(|entry| entry.schedule.id).collect(),
            jobs.map(|job| job.id).collect(),
        )
    }
}

/// When a schedule has to be looked at: it is due, or its pause is over.
fn wake_at(schedule: &Schedule) -> Option<Timestamp> {
    let progress = &schedule.progress;
    match &progress.paused {
        Some(pause) => pause.until,
        None => progress.next.map(|due| due.at),
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
