//! Schedules and fires of the memory store.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_engine::Timestamp;
use tidegate_engine::board::{Change, Fired, Outcomes};
use tidegate_engine::job::JobId;
use tidegate_engine::schedule::{Fire, Schedule, ScheduleId};
use tidegate_engine::store::{Backfill, PutSchedule, StoreError};

use super::State;

struct StoredOutcomes<'a>(&'a BTreeMap<(ScheduleId, Timestamp), Fire>);

impl Outcomes for StoredOutcomes<'_> {
    fn of(&self, schedule: ScheduleId, moment: Timestamp) -> Result<Option<Fire>, StoreError> {
        Ok(self.0.get(&(schedule, moment)).cloned())
    }

    fn own(
        &self,
        schedule: ScheduleId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeSet<Timestamp>, StoreError> {
        let fires = self.0.range((schedule, from)..=(schedule, until));
        let own = fires.filter(|(_, fire)| fire.outcome.is_own());
        Ok(own.map(|((_, moment), _)| *moment).collect())
    }
}

impl State {
    pub(super) fn apply_changes(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                // The board has it.
                Change::Schedule(_) => {}
                Change::Removed(schedule) => self.fires.retain(|(id, _), _| *id != schedule.id),
                Change::Fire(fire) => {
                    self.fires.insert((fire.schedule, fire.scheduled_for), fire);
                }
                Change::Job(job) => {
                    self.keys.follow(&job);
                    self.jobs.insert(job.id, job);
                }
            }
        }
    }

    pub(super) fn put_schedule(&mut self, put: PutSchedule) -> Result<Schedule, StoreError> {
        let connection = self.connection(put.definition.target.connection())?.clone();
        self.board.set_standing(&connection);
        let PutSchedule {
            id,
            definition,
            origin,
            revision,
            now,
        } = put;
        let put = self
            .board
            .put_schedule(id, definition, origin, revision, now);
        let (schedule, changes) = put?;
        self.apply_changes(changes);
        Ok(schedule)
    }

    pub(super) fn fire_due(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Fired>, StoreError> {
        let outcomes = StoredOutcomes(&self.fires);
        let (fired, changes) = self.board.fire_due(now, limit, &outcomes)?;
        self.apply_changes(changes);
        Ok(fired)
    }

    pub(super) fn backfill(&mut self, backfill: &Backfill) -> Result<Vec<Fire>, StoreError> {
        let jobs = &self.jobs;
        let gives_way = |job: JobId| Ok(backfill.again.wants(jobs.get(&job).map(|job| &job.state)));
        let (fires, changes) = self.board.backfill(
            backfill.schedule,
            &backfill.moments,
            &StoredOutcomes(&self.fires),
            &gives_way,
            backfill.now,
        )?;
        self.apply_changes(changes);
        Ok(fires)
    }
}
