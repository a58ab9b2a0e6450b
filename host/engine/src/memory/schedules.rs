//! Schedules and fires of the memory store.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::Timestamp;
use crate::board::{Change, Fired, Outcomes};
use crate::job::JobId;
use crate::schedule::{Fire, Pause, Schedule, ScheduleId};
use crate::store::{Backfill, PutSchedule, ScheduleFilter, Schedules, StoreError};

use super::{MemoryStore, State};

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

    fn put_schedule(&mut self, put: PutSchedule) -> Result<Schedule, StoreError> {
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

    fn fire_due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        let outcomes = StoredOutcomes(&self.fires);
        let (fired, changes) = self.board.fire_due(now, limit, &outcomes)?;
        self.apply_changes(changes);
        Ok(fired)
    }

    fn backfill(&mut self, backfill: &Backfill) -> Result<Vec<Fire>, StoreError> {
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

#[async_trait]
impl Schedules for MemoryStore {
    async fn put_schedule(&self, put: PutSchedule) -> Result<Schedule, StoreError> {
        self.with(|state| state.put_schedule(put))
    }

    async fn ensure_schedules(&self, puts: Vec<PutSchedule>) -> Result<usize, StoreError> {
        self.with(|state| {
            let mut new = 0;
            for put in puts {
                if state.board.schedule(put.id).is_ok() {
                    continue;
                }
                match state.put_schedule(put) {
                    Ok(_) => new += 1,
                    Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(new)
        })
    }

    async fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError> {
        self.with(|state| state.board.schedule(id).cloned())
    }

    async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<Schedule>, StoreError> {
        self.with(|state| {
            let all = state.board.schedules(filter.after);
            let wanted = all.filter(|schedule| filter.matches(schedule));
            Ok(wanted.take(filter.limit).cloned().collect())
        })
    }

    async fn pause_schedule(&self, id: ScheduleId, pause: Pause) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let (schedule, changes) = state.board.pause_schedule(id, pause)?;
            state.apply_changes(changes);
            Ok(schedule)
        })
    }

    async fn resume_schedule(
        &self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        self.with(|state| {
            let (schedule, changes) = state.board.resume_schedule(id, now)?;
            state.apply_changes(changes);
            Ok(schedule)
        })
    }

    async fn remove_schedule(&self, id: ScheduleId, now: Timestamp) -> Result<(), StoreError> {
        self.with(|state| {
            let changes = state.board.remove_schedule(id, now)?;
            state.apply_changes(changes);
            Ok(())
        })
    }

    async fn fire_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Fired>, StoreError> {
        self.with(|state| state.fire_due(now, limit))
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.with(|state| Ok(state.board.next_wake()))
    }

    async fn fires(
        &self,
        id: ScheduleId,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<Fire>, StoreError> {
        self.with(|state| {
            state.board.schedule(id)?;
            let end = before.unwrap_or(Timestamp(u64::MAX));
            let own = state.fires.range((id, Timestamp(0))..(id, end)).rev();
            Ok(own.take(limit).map(|(_, fire)| fire.clone()).collect())
        })
    }

    async fn backfill(&self, backfill: Backfill) -> Result<Vec<Fire>, StoreError> {
        self.with(|state| state.backfill(&backfill))
    }
}
