//! The commands of schedules: the board decides, and what it changes is stored with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_engine::board::{Change, Fired, Outcomes};
use tidegate_engine::command;
use tidegate_engine::job::{Job, JobId, JobState};
use tidegate_engine::schedule::{Fire, Pause, Schedule, ScheduleId};
use tidegate_engine::store::{Backfill, PutSchedule, ScheduleFilter, rules};
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::{View, Writes, damaged};
use crate::layout::ends;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow};

use super::jobs::lists_of_job;
use super::{Writer, encode, not_found};

/// What is stored of the outcomes of moments.
struct StoredOutcomes<'a>(View<'a>);

impl Outcomes for StoredOutcomes<'_> {
    fn of(&self, schedule: ScheduleId, moment: Timestamp) -> Result<Option<Fire>, StoreError> {
        self.0.row(&keys::fire(schedule, moment), rows::decode)
    }

    fn own(
        &self,
        schedule: ScheduleId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeSet<Timestamp>, StoreError> {
        let first = keys::fire(schedule, from);
        let end = keys::fire(schedule, Timestamp(until.0.saturating_add(1)));
        let mut own = BTreeSet::new();
        for item in self.0.range(&first, &end) {
            let (key, value) = item?;
            let fire: Fire = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            if fire.outcome.is_own() {
                own.insert(fire.scheduled_for);
            }
        }
        Ok(own)
    }
}

impl Writer {
    /// Take in the schedules and the jobs that wait or run.
    pub(super) fn load_board(&mut self) -> Result<(), StoreError> {
        let mut schedules = Vec::new();
        for item in self.view().prefix(&Key::new(Tag::Schedule)) {
            let (key, value) = item?;
            let schedule: Schedule = rows::decode(&value).map_err(|c| damaged(&key, c))?;
            schedules.push(schedule);
        }
        let mut idle = 0;
        let mut seen = BTreeSet::new();
        for schedule in schedules {
            // A job that can't be put on its connection's list would stop all writing, at each start again.
            let key = schedule.definition.target.connection();
            let found = match seen.insert(key.clone()) {
                true => self.connection_row(key).map(Some),
                false => self.connection_number(key).map(|_| None),
            };
            match found {
                Err(StoreError::Damaged { .. } | StoreError::NotFound { .. }) => {
                    self.board.load_idle_schedule(schedule);
                    idle += 1;
                }
                row => {
                    if let Some(row) = row? {
                        self.board.set_standing(&row.connection);
                    }
                    self.board.load_schedule(schedule);
                }
            }
        }
        if idle > 0 {
            self.notes.push(format!(
                "{idle} schedules are never due, as the rows of their connections are damaged; which says: {}",
                command!("data check")
            ));
        }
        let prefix = Key::new(Tag::Queued);
        let mut jobs = Vec::new();
        for item in self.view().prefix(&prefix) {
            let (key, _) = item?;
            let id = keys::rest(&key, &prefix).and_then(keys::decode_id);
            let id = JobId::from_bytes(id.map_err(|corrupt| damaged(&key, corrupt))?);
            let job: Option<Job> = self.view().row(&keys::job(id), rows::decode)?;
            jobs.push(job.ok_or_else(|| StoreError::Damaged {
                place: id.to_string(),
                reason: "it is marked as queued, and there is no such job".into(),
            })?);
        }
        for job in &jobs {
            self.board.load_job(job);
        }
        Ok(())
    }

    /// Add what the board has changed to a batch. If that can't be, the board is ahead of what is
    /// stored, and nothing is written any more until the store is opened again.
    pub(super) fn put_changes(
        &mut self,
        writes: &mut Writes,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let put = self.write_changes(writes, changes);
        if let Err(error) = &put {
            self.failure = Some(error.clone());
        }
        put
    }

    fn write_changes(&self, writes: &mut Writes, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Schedule(schedule) => self.write_schedule(writes, schedule)?,
                Change::Removed(schedule) => {
                    let connection = schedule.definition.target.connection();
                    let number = self.connection_number(connection)?;
                    self.write_removal(writes, number, schedule.id)?;
                }
                Change::Fire(fire) => {
                    let key = keys::fire(fire.schedule, fire.scheduled_for);
                    let value = encode(key.as_ref(), fire)?;
                    writes.put_new(key, &value);
                }
                Change::Job(job) => {
                    self.write_job(writes, job)?;
                    self.follow_job(writes, job)?;
                }
            }
        }
        Ok(())
    }

    fn write_schedule(&self, writes: &mut Writes, schedule: &Schedule) -> Result<(), StoreError> {
        let key = keys::schedule(schedule.id);
        let value = encode(key.as_ref(), schedule)?;
        let Some(parts) = self.view().found(&key)? else {
            let connection = schedule.definition.target.connection();
            let number = self.connection_number(connection)?;
            let id = schedule.id.to_bytes();
            writes.put_new(keys::schedules_of_connection(number).raw(&id), &[]);
            writes.put_new(key, &value);
            return Ok(());
        };
        writes.put_over(parts, key, &value);
        Ok(())
    }

    /// Take a schedule out of all lists. Its fires are purged later.
    fn write_removal(
        &self,
        writes: &mut Writes,
        connection: u64,
        id: ScheduleId,
    ) -> Result<(), StoreError> {
        writes.remove_any(&self.view(), keys::schedule(id))?;
        let id = id.to_bytes();
        writes.remove_short(keys::schedules_of_connection(connection).raw(&id));
        writes.put_new(keys::dropped_schedules().raw(&id), &[]);
        Ok(())
    }

    fn write_job(&self, writes: &mut Writes, job: &Job) -> Result<(), StoreError> {
        let key = keys::job(job.id);
        let value = encode(key.as_ref(), job)?;
        let found = match self.view().found(&key) {
            // Written over, it is whole again.
            Err(StoreError::Damaged { .. }) => Some(0),
            found => found?,
        };
        let Some(parts) = found else {
            let connection = job.target.connection();
            let number = self.connection_number(connection)?;
            for list in lists_of_job(&connection.integration, number, ends::of_job(job)) {
                let key = list.raw(&job.id.to_bytes());
                match job.state.is_active() {
                    true => writes.put_first(key, &[]),
                    false => writes.put_new(key, &[]),
                }
            }
            match job.state.is_active() {
                true => writes.put_first(keys::queued(job.id), &[]),
                // It came to be and ended in one command.
                false => writes.remove_short(keys::queued(job.id)),
            }
            writes.put_new(key, &value);
            return Ok(());
        };
        match job.state {
            JobState::Queued => writes.put_new(keys::queued(job.id), &[]),
            // It was queued before.
            JobState::Running { .. } => {}
            _ => {
                writes.remove_short(keys::queued(job.id));
                let before = match job.state {
                    JobState::Discarded => ends::DEAD,
                    _ => ends::ACTIVE,
                };
                self.relist_job(writes, job, before)?;
            }
        }
        writes.put_over(parts, key, &value);
        Ok(())
    }

    /// Move a job from the lists of those that have come to `before` to those of its state now.
    pub(super) fn relist_job(
        &self,
        writes: &mut Writes,
        job: &Job,
        before: u8,
    ) -> Result<(), StoreError> {
        let connection = job.target.connection();
        let number = match self.connection_number(connection) {
            // It ends because of that; as long as its connection can't be read, nobody lists it there.
            Err(StoreError::Damaged { .. } | StoreError::NotFound { .. }) => None,
            number => Some(number?),
        };
        let lists = |end| {
            let of_integration = keys::jobs_of_integration(&connection.integration);
            let of_connection = number.map(keys::jobs_of_connection);
            let lists = std::iter::once(of_integration).chain(of_connection);
            lists.map(move |list| list.end(end).raw(&job.id.to_bytes()))
        };
        lists(before).for_each(|key| writes.remove_short(key));
        lists(ends::of_job(job)).for_each(|key| writes.put_new(key, &[]));
        Ok(())
    }

    /// Store what the board has changed, and nothing else.
    pub(super) fn apply_changes(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        self.put_changes(&mut writes, changes)?;
        self.apply(writes)
    }

    /// Go on with the fires of a schedule of this id that was removed: they would be those of a new one. Says whether
    /// none is left.
    pub(crate) fn purge_fires_of(&mut self, id: ScheduleId) -> Result<bool, StoreError> {
        let dropped = keys::dropped_schedules().raw(&id.to_bytes());
        Ok(self.view().get(&dropped)?.is_none() || self.purge_fires()?)
    }

    pub(crate) fn put_schedule(&mut self, put: PutSchedule) -> Result<Schedule, StoreError> {
        let connection = self.connection_row(put.definition.target.connection())?;
        self.board.set_standing(&connection.connection);
        let PutSchedule {
            id,
            definition,
            origin,
            revision,
            now,
        } = put;
        // It was removed since somebody has seen to that.
        while !self.purge_fires_of(id)? {}
        let put = self
            .board
            .put_schedule(id, definition, origin, revision, now);
        let (schedule, changes) = put?;
        self.apply_changes(&changes)?;
        Ok(schedule)
    }

    pub(crate) fn ensure_schedules(&mut self, puts: Vec<PutSchedule>) -> Result<usize, StoreError> {
        rules::ensure_schedules(self, puts, |writer| &writer.board, Self::put_schedule)
    }

    pub(crate) fn schedule(&self, id: ScheduleId) -> Result<Schedule, StoreError> {
        self.board.schedule(id).cloned()
    }

    pub(crate) fn schedules(&self, filter: &ScheduleFilter) -> Vec<Schedule> {
        rules::schedules(&self.board, filter)
    }

    pub(crate) fn pause_schedule(
        &mut self,
        id: ScheduleId,
        pause: Pause,
    ) -> Result<Schedule, StoreError> {
        let (schedule, changes) = self.board.pause_schedule(id, pause)?;
        self.apply_changes(&changes)?;
        Ok(schedule)
    }

    pub(crate) fn resume_schedule(
        &mut self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<Schedule, StoreError> {
        let (schedule, changes) = self.board.resume_schedule(id, now)?;
        self.apply_changes(&changes)?;
        Ok(schedule)
    }

    pub(crate) fn remove_schedule(
        &mut self,
        id: ScheduleId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let connection = self.board.schedule(id)?.definition.target.connection();
        // Known before the board goes ahead.
        self.connection_number(connection)?;
        let changes = self.board.remove_schedule(id, now)?;
        self.apply_changes(&changes)?;
        self.purge_fires_later();
        Ok(())
    }

    pub(crate) fn fire_due(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Fired>, StoreError> {
        let disk = Arc::clone(&self.disk);
        let stored = StoredOutcomes(disk.writer_view());
        let (fired, changes) = self.board.fire_due(now, limit, &stored)?;
        self.apply_changes(&changes)?;
        Ok(fired)
    }

    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.board.next_wake()
    }

    pub(crate) fn backfill(&mut self, backfill: &Backfill) -> Result<Vec<Fire>, StoreError> {
        let disk = Arc::clone(&self.disk);
        let stored = StoredOutcomes(disk.writer_view());
        let gives_way = |job: JobId| -> Result<bool, StoreError> {
            let job: Option<Job> = stored.0.row(&keys::job(job), rows::decode)?;
            Ok(backfill.again.wants(job.as_ref().map(|job| &job.state)))
        };
        let (id, moments, now) = (backfill.schedule, &backfill.moments, backfill.now);
        let filled = self.board.backfill(id, moments, &stored, &gives_way, now);
        let (fires, changes) = filled?;
        self.apply_changes(&changes)?;
        Ok(fires)
    }

    /// Take the schedules of a connection that is being dropped, and its jobs that wait or run, off the
    /// board and out of the indexes. What else they have is purged; says whether schedules have.
    pub(super) fn drop_schedules(
        &mut self,
        writes: &mut Writes,
        rows: &[ConnectionRow],
    ) -> Result<bool, StoreError> {
        let numbers = rows.iter().map(|row| (&row.connection.key, row.number));
        let numbers: BTreeMap<&ConnectionKey, u64> = numbers.collect();
        let keys = numbers.keys().copied().collect();
        let (schedules, jobs) = self.board.remove_connections(&keys);
        for (id, key) in &schedules {
            let number = numbers.get(key).copied().unwrap_or_default();
            self.write_removal(writes, number, *id)?;
        }
        for id in jobs {
            writes.remove_short(keys::queued(id));
        }
        Ok(!schedules.is_empty())
    }
}

/// The fires of a schedule before a moment, newest first.
pub(crate) fn fires(
    view: &View<'_>,
    id: ScheduleId,
    before: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<Fire>, StoreError> {
    if view.get(&keys::schedule(id))?.is_none() {
        return Err(not_found("schedule", &id));
    }
    let first = keys::fires(id);
    let end = before.map_or_else(|| first.after_prefix(), |before| keys::fire(id, before));
    let rows = view.range(&first, &end).rev().take(limit);
    let fires = rows.map(|item| {
        let (key, value) = item?;
        rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
    });
    fires.collect()
}
