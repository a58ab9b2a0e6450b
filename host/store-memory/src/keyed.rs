//! Idempotency keys of the memory store.

use std::collections::{BTreeMap, HashMap};

use tidegate_engine::idempotency::{
    IdempotencyKey, KEYS_MAX, KeyDecision, KeyRow, KeyUse, Keyed, Queued, StoredResult,
};
use tidegate_engine::job::{Job, JobId, NewJob};
use tidegate_engine::run::{Fence, NewRun, Run, RunEnd, RunId};
use tidegate_engine::store::StoreError;
use tidegate_engine::{ConnectionKey, Name, Timestamp};

use tidegate_engine::store::rules;

use super::{State, not_found};

/// Whose key it is, and for which action.
pub(super) type Place = (ConnectionKey, Name, IdempotencyKey);

/// The place of the key that a job holds.
fn place_of(job: &Job) -> Option<Place> {
    let key = job.idempotency_key.clone().filter(|_| job.holds_key)?;
    let target = &job.target;
    Some((target.connection().clone(), target.name().clone(), key))
}

/// What is remembered of keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    rows: BTreeMap<Place, KeyRow>,
    /// What runs returned.
    outputs: HashMap<RunId, String>,
}

impl Keys {
    /// Let go of the key that `run` holds; a job's follows the job.
    pub(super) fn settle(&mut self, run: RunId, end: &RunEnd) {
        let held = |row: &&mut KeyRow| {
            row.run == Some(run) && row.job.is_none() && row.expires_at.is_none()
        };
        if let Some(row) = self.rows.values_mut().find(held) {
            *row = row.settled(end);
        }
    }

    fn holds(&self, run: RunId) -> bool {
        let mut rows = self.rows.values();
        rows.any(|row| row.run == Some(run) && row.expires_at.is_none())
    }

    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.rows.retain(|_, row| !row.is_expired(now));
        let kept: Vec<RunId> = self.rows.values().filter_map(|row| row.run).collect();
        self.outputs.retain(|run, _| kept.contains(run));
    }

    /// Write down what a change of a job means for the key that it holds.
    pub(super) fn follow(&mut self, job: &Job) {
        if let Some(place) = place_of(job)
            && let Some(row) = self.rows.get_mut(&place)
            && let Some(next) = row.following(job)
        {
            *row = next;
        }
    }

    pub(super) fn put(&mut self, row: Option<(Place, KeyRow)>) {
        self.rows.extend(row);
    }

    /// What a run returned.
    pub(super) fn output(&self, run: RunId) -> Option<String> {
        self.outputs.get(&run).cloned()
    }

    pub(super) fn forget_connection(&mut self, connection: &ConnectionKey) {
        self.rows.retain(|(own, _, _), _| own != connection);
    }
}

impl State {
    pub(super) fn start_keyed_run(
        &mut self,
        new: NewRun,
        wanted: &KeyUse,
    ) -> Result<Keyed, StoreError> {
        let (connection, action) = rules::action_of(&new)?;
        self.connection(connection)?;
        let place = (connection.clone(), action.clone(), wanted.key.clone());
        if self.runs.contains_key(&new.id) {
            return self.start_run(new).map(Keyed::Started);
        }
        self.keys.forget_expired(new.now);
        match self.keys.rows.get(&place) {
            Some(row) => {
                if let KeyDecision::Answer(run) = row.judge(wanted)? {
                    return Ok(Keyed::Kept(Box::new(self.kept(run)?)));
                }
            }
            None => self.check_room(connection)?,
        }
        let row = KeyRow::taken(new.id, wanted.input);
        let started = self.start_run(new)?;
        self.keys.rows.insert(place, row);
        Ok(Keyed::Started(started))
    }

    fn kept(&self, run: RunId) -> Result<StoredResult, StoreError> {
        let kept = self.runs.get(&run).ok_or_else(|| not_found("run", &run))?;
        Ok(StoredResult {
            run: kept.clone(),
            output: self.keys.output(run),
        })
    }

    fn check_room(&self, connection: &ConnectionKey) -> Result<(), StoreError> {
        let own = self.keys.rows.keys();
        let keys = own.filter(|(own, _, _)| own == connection).count() as u64;
        rules::check_room(connection, keys, KEYS_MAX)
    }

    pub(super) fn enqueue_keyed(
        &mut self,
        new: NewJob,
        wanted: &KeyUse,
    ) -> Result<Queued, StoreError> {
        let (connection, action) = rules::action_of_job(&new.target)?;
        self.connection(connection)?;
        let place = (connection.clone(), action.clone(), wanted.key.clone());
        if let Some(job) = self.jobs.get(&new.id) {
            let job = rules::same_job(job, &new)?;
            return Ok(Queued::Job(Box::new(job)));
        }
        self.keys.forget_expired(new.now);
        match self.keys.rows.get(&place) {
            Some(row) => {
                let known = row.job_for(wanted)?.and_then(|id| self.jobs.get(&id));
                if let Some(job) = known {
                    return Ok(Queued::Job(Box::new(job.clone())));
                }
                if let KeyDecision::Answer(run) = row.judge(wanted)? {
                    return Ok(Queued::Kept(Box::new(self.kept(run)?)));
                }
            }
            None => self.check_room(connection)?,
        }
        let row = KeyRow::queued(new.id, wanted.input);
        let new = NewJob {
            idempotency_key: Some(wanted.key.clone()),
            ..new
        };
        let (job, changes) = self.board.enqueue_keyed(new)?;
        self.keys.rows.insert(place, row);
        self.apply_changes(changes);
        Ok(Queued::Job(Box::new(job)))
    }

    /// Whether a job that is to be queued again may have its key again, and its row if that is gone.
    pub(super) fn key_again(
        &mut self,
        job: &Job,
        now: Timestamp,
    ) -> Result<Option<(Place, KeyRow)>, StoreError> {
        let (Some(wanted), Some(place)) = (rules::key_of_job(job)?, place_of(job)) else {
            return Ok(None);
        };
        match self.keys.rows.get(&place) {
            Some(row) if row.job == Some(job.id) => return Ok(None),
            Some(row) if !row.is_expired(now) => return Err(row.busy(&wanted.key)),
            Some(row) => {
                if let Some(run) = row.run {
                    self.keys.outputs.remove(&run);
                }
            }
            None => {
                let connection = job.target.connection();
                if self.check_room(connection).is_err() {
                    self.keys.forget_expired(now);
                }
                self.check_room(connection)?;
            }
        }
        Ok(Some((place, KeyRow::queued(job.id, wanted.input))))
    }

    /// What the action of a job returned, as long as that is remembered.
    pub(super) fn job_output(&self, id: JobId) -> Result<Option<String>, StoreError> {
        let job = self.job(id)?;
        let run = job.run.filter(|_| job.holds_key);
        Ok(run.and_then(|run| self.keys.output(run)))
    }

    pub(super) fn finish_keyed_run(
        &mut self,
        id: RunId,
        fence: Fence,
        end: RunEnd,
        output: String,
    ) -> Result<Run, StoreError> {
        let holds = self.keys.holds(id);
        let run = self.finish_run(id, fence, end)?;
        if holds {
            self.keys.outputs.insert(id, output);
        }
        Ok(run)
    }
}
