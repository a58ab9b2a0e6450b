//! A clock that goes back: nothing is to wait for the time from which it came.

use crate::job::{Job, JobState, Priority};
use crate::schedule::{Due, Schedule};
use crate::{ConnectionKey, Timestamp};

use super::{Board, Change};

/// How far back a clock has to go for everything to be planned anew.
const STEP_BACK_MS: u64 = 60_000;

impl Board {
    /// Take in what time it is.
    pub(super) fn follow_clock(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        if now.0.saturating_add(STEP_BACK_MS) < self.latest.0 {
            self.plan_again(now, changes);
            self.queue_again(now, changes);
            self.latest = now;
        }
        self.latest = self.latest.max(now);
    }

    /// The place of a job that is queued at `now`, and may start from `due` on.
    pub(super) fn place(
        &mut self,
        connection: &ConnectionKey,
        priority: Priority,
        due: Timestamp,
        now: Timestamp,
    ) -> u64 {
        self.latest = self.latest.max(now);
        self.queue.place(connection, priority, due, now)
    }

    /// What was decided at a time that has not come yet is decided anew. Only what is stored with a thing
    /// counts, so that a server that starts afterwards does the same.
    fn is_ahead(decided_at: Timestamp, now: Timestamp) -> bool {
        now.0.saturating_add(STEP_BACK_MS) < decided_at.0
    }

    fn plan_again(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let mut planned: Vec<Schedule> = Vec::new();
        for entry in self.schedules.values() {
            let Some(calendar) = &entry.calendar else {
                continue;
            };
            if !Self::is_ahead(entry.schedule.decided_at(), now) {
                continue;
            }
            let mut schedule = entry.schedule.clone();
            schedule.updated_at = schedule.updated_at.min(now);
            let progress = &mut schedule.progress;
            progress.fired_at = progress.fired_at.map(|at| at.min(now));
            if let Some(next) = progress.next {
                let earlier = calendar.due_after(now);
                let earlier = earlier.filter(|due: &Due| due.scheduled_for < next.scheduled_for);
                progress.next = Some(earlier.unwrap_or(next));
            }
            planned.push(schedule);
        }
        for schedule in planned {
            self.put_progress(&schedule);
            changes.push(Change::Schedule(schedule));
        }
    }

    /// Jobs wait as long as they had to when they were queued, and leases last no longer.
    fn queue_again(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        for lease in self.leases.values_mut() {
            let left = lease.until.since(self.latest);
            lease.until = lease.until.min(Timestamp(now.0.saturating_add(left)));
        }
        let is_ahead =
            |job: &&Job| job.state == JobState::Queued && Self::is_ahead(job.queued_at(), now);
        let mut jobs: Vec<Job> = self.jobs.values().filter(is_ahead).cloned().collect();
        jobs.sort_unstable_by_key(|job| (job.place, job.id));
        // Before any gets its place, so that it is not behind those of that time.
        jobs.iter().for_each(|job| self.forget_job(job.id));
        for mut job in jobs {
            let queued_at = job.queued_at();
            for at in std::iter::once(&mut job.due_at).chain(&mut job.expires_at) {
                *at = Timestamp(now.0.saturating_add(at.since(queued_at)));
            }
            job.queued_again_at = Some(now);
            let key = job.target.connection();
            job.place = self.queue.place(key, job.priority, job.due_at, now);
            self.put_job(&job);
            changes.push(Change::Job(job));
        }
    }
}
