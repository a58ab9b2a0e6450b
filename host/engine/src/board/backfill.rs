//! Firing for moments of the past on request.

use std::collections::BTreeMap;

use crate::job::{FireKey, Job, JobId, Priority};
use crate::limits::ACTIVE_JOBS;
use crate::run::Trigger;
use crate::schedule::{Fire, FireOutcome, ScheduleId};
use crate::{StoreError, Timestamp};

use super::schedules::of_fire;
use super::{Board, Change, Outcomes, fire};

impl Board {
    /// Fire moments of the past on request. Those that have a job already are left out unless it is one that
    /// `gives_way`; what is left is run one after the other.
    pub fn backfill(
        &mut self,
        id: ScheduleId,
        moments: &[Timestamp],
        outcomes: &dyn Outcomes,
        gives_way: &dyn Fn(JobId) -> Result<bool, StoreError>,
        now: Timestamp,
    ) -> Result<(Vec<Fire>, Vec<Change>), StoreError> {
        let schedule = self.schedule(id)?.clone();
        if (self.queue.len() + moments.len()) as u64 > ACTIVE_JOBS {
            return Err(StoreError::Full {
                what: "jobs that wait or run",
                limit: "active_jobs",
                most: ACTIVE_JOBS,
            });
        }
        let (wanted, rests) = self.to_fill(id, moments, outcomes, gives_way)?;
        let mut changes: Vec<Change> = rests.into_iter().map(Change::Fire).collect();
        let mut fires = Vec::new();
        for moment in wanted {
            let key = FireKey {
                schedule: id,
                scheduled_for: moment,
            };
            let definition = &schedule.definition;
            let mut new = of_fire(definition, key, Priority::Low, Trigger::Backfill, now);
            // Unlike the fire's own: the same moment may be filled again.
            let parts = [key.to_string(), now.0.to_string()];
            new.id = JobId::derived(now, &[parts[0].as_bytes(), parts[1].as_bytes()]);
            let place = self.place(definition.target.connection(), new.priority, now, now);
            let job = Job::queued(new, place);
            let row = fire(id, moment, now, FireOutcome::Started { job: job.id });
            self.put_job(&job);
            changes.push(Change::Job(job));
            changes.push(Change::Fire(row.clone()));
            fires.push(row);
        }
        Ok((fires, changes))
    }

    /// Which of these moments are to be filled, and what is left of the ranges of missed ones that began with
    /// them.
    fn to_fill(
        &self,
        id: ScheduleId,
        moments: &[Timestamp],
        outcomes: &dyn Outcomes,
        gives_way: &dyn Fn(JobId) -> Result<bool, StoreError>,
    ) -> Result<(Vec<Timestamp>, Vec<Fire>), StoreError> {
        let mut wanted = Vec::new();
        // `None` for what is to be filled.
        let mut rows: BTreeMap<Timestamp, Option<Fire>> = BTreeMap::new();
        for moment in moments {
            let row = match rows.get(moment) {
                Some(None) => continue,
                Some(row) => row.clone(),
                None => outcomes.of(id, *moment)?,
            };
            if let Some(Fire {
                outcome: FireOutcome::Started { job },
                ..
            }) = row
                && !gives_way(job)?
            {
                continue;
            }
            rows.insert(*moment, None);
            wanted.push(*moment);
            let is_own = |at| match rows.get(&at) {
                Some(row) => Ok(row.is_none()),
                None => {
                    let row = outcomes.of(id, at)?;
                    Ok(row.is_some_and(|row| row.outcome.is_own()))
                }
            };
            let rest = match row {
                Some(row) => self.without_first(&row, &is_own)?,
                None => None,
            };
            if let Some(rest) = rest {
                rows.insert(rest.scheduled_for, Some(rest));
            }
        }
        Ok((wanted, rows.into_values().flatten().collect()))
    }

    /// What is left of a range of missed moments, if this is one, behind its first and others that have
    /// outcomes of their own.
    fn without_first(
        &self,
        row: &Fire,
        is_own: &dyn Fn(Timestamp) -> Result<bool, StoreError>,
    ) -> Result<Option<Fire>, StoreError> {
        let FireOutcome::Missed { until, mut moments } = row.outcome else {
            return Ok(None);
        };
        let entry = self.schedules.get(&row.schedule);
        let Some(calendar) = entry.and_then(|entry| entry.calendar.as_ref()) else {
            return Ok(None);
        };
        let mut next = calendar.next_after(row.scheduled_for);
        while let Some(at) = next.filter(|at| *at <= until && moments > 1) {
            moments -= 1;
            if !is_own(at)? {
                let outcome = FireOutcome::Missed { until, moments };
                return Ok(Some(fire(row.schedule, at, row.at, outcome)));
            }
            next = calendar.next_after(at);
        }
        Ok(None)
    }
}
