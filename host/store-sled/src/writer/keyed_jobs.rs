//! Idempotency keys that jobs hold: taken when they are queued, let go of when they have ended.
//!
//! The row of such a key follows its job: whatever changes the job writes the row, too.

use tidegate_engine::idempotency::{KeyDecision, KeyRow, KeyUse, Queued};
use tidegate_engine::job::{Job, JobId, NewJob};
use tidegate_engine::store::rules;
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::Writes;
use crate::layout::keys::{self, Key};
use crate::layout::rows;

use super::keyed::expiry;
use super::{Writer, encode, unless_damaged};

impl Writer {
    pub(crate) fn enqueue_keyed(
        &mut self,
        new: NewJob,
        wanted: &KeyUse,
    ) -> Result<Queued, StoreError> {
        let (connection, action) = rules::action_of_job(&new.target)?;
        let connection = connection.clone();
        let number = self.connection_number(&connection)?;
        let place = keys::idempotency(number)
            .name(action.as_str())
            .raw(wanted.key.as_str().as_bytes());
        let stored: Option<Job> = self.view().row(&keys::job(new.id), rows::decode)?;
        if let Some(job) = stored {
            let job = rules::same_job(&job, &new)?;
            return Ok(Queued::Job(Box::new(job)));
        }
        self.expire_later(new.now);
        let row: Option<KeyRow> = self.view().row(&place, rows::decode)?;
        if let Some(row) = row.as_ref().filter(|row| !row.is_expired(new.now)) {
            if let Some(id) = row.job_for(wanted)? {
                return Ok(Queued::Job(Box::new(self.stored_job(id)?)));
            }
            if let KeyDecision::Answer(run) = row.judge(wanted)? {
                return Ok(Queued::Kept(Box::new(self.kept(run)?)));
            }
        }
        let mut writes = Writes::default();
        let is_new = row.is_none();
        self.take_for_job(&mut writes, &connection, &place, row, new.id, wanted)?;
        let new = NewJob {
            idempotency_key: Some(wanted.key.clone()),
            ..new
        };
        let (job, changes) = self.board.enqueue_keyed(new)?;
        self.put_changes(&mut writes, &changes)?;
        self.apply(writes)?;
        if is_new {
            self.count_key(&job)?;
        }
        Ok(Queued::Job(Box::new(job)))
    }

    /// Take a key for a job; whoever had it, as `row` says, has let go of it.
    fn take_for_job(
        &mut self,
        writes: &mut Writes,
        connection: &ConnectionKey,
        place: &Key,
        row: Option<KeyRow>,
        job: JobId,
        wanted: &KeyUse,
    ) -> Result<(), StoreError> {
        match row {
            Some(row) => self.forget_key(writes, place, &row)?,
            None => {
                let number = self.connection_number(connection)?;
                self.make_room(connection, number)?;
            }
        }
        let row = encode(place.as_ref(), &KeyRow::queued(job, wanted.input))?;
        writes.put_new(place.clone(), &row);
        Ok(())
    }

    /// Take a job's key again before it is queued again, unless it is still the job's. Says whether the
    /// connection has one key more then.
    pub(super) fn retake_key(
        &mut self,
        writes: &mut Writes,
        job: &Job,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (Some(wanted), Some(place)) = (rules::key_of_job(job)?, self.place_of(job)?) else {
            return Ok(false);
        };
        let row: Option<KeyRow> = self.view().row(&place, rows::decode)?;
        match row {
            Some(row) if row.job == Some(job.id) => Ok(false),
            Some(row) if !row.is_expired(now) => Err(row.busy(&wanted.key)),
            row => {
                let is_new = row.is_none();
                let connection = job.target.connection();
                self.take_for_job(writes, connection, &place, row, job.id, &wanted)?;
                Ok(is_new)
            }
        }
    }

    /// The connection of `job` has one key more.
    pub(super) fn count_key(&mut self, job: &Job) -> Result<(), StoreError> {
        let number = self.connection_number(job.target.connection())?;
        self.keys.count(number);
        Ok(())
    }

    /// The place of the key that a job holds.
    fn place_of(&self, job: &Job) -> Result<Option<Key>, StoreError> {
        let Some(key) = job.idempotency_key.as_ref().filter(|_| job.holds_key) else {
            return Ok(None);
        };
        let number = self.connection_number(job.target.connection())?;
        let place = keys::idempotency(number).name(job.target.name().as_str());
        Ok(Some(place.raw(key.as_str().as_bytes())))
    }

    /// Write down what a change of a job means for the key that it holds.
    pub(super) fn follow_job(&self, writes: &mut Writes, job: &Job) -> Result<(), StoreError> {
        let Some(place) = unless_damaged(self.place_of(job))? else {
            return Ok(());
        };
        let row: Option<KeyRow> = unless_damaged(self.view().row(&place, rows::decode))?;
        let Some(before) = row else { return Ok(()) };
        let Some(row) = before.following(job) else {
            return Ok(());
        };
        if let Some(at) = before.expires_at {
            writes.remove_short(expiry(at, &place));
        }
        if let Some(at) = row.expires_at {
            writes.put_new(expiry(at, &place), &[]);
        }
        let value = encode(place.as_ref(), &row)?;
        writes.put_new(place, &value);
        Ok(())
    }
}
