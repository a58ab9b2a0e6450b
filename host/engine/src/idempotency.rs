//! Idempotency keys: how a repeated invoke of an action gets the first result instead of acting twice.
//!
//! A key belongs to one action of one connection. It is taken with the start of a run and settled
//! with the run's end, each in the transaction of that command, so that no crash comes between:
//!
//! | what the key's last run did | a repeat with the same input |
//! |---|---|
//! | it runs | is refused: [`StoreError::Busy`] |
//! | it succeeded, was rejected, or failed after it had acted | gets that result ([`Keyed::Kept`]) |
//! | it failed otherwise, was cut or its process died | acts again, under the same key |
//!
//! A repeat with another input is refused ([`StoreError::KeyConflict`]) in each of these cases, the last
//! included: the outside API may have acted already, and would answer with the first input's result.
//! A key is forgotten [`KEPT_MS`] after its last run ended; until then it counts towards [`KEYS_MAX`].
//!
//! A job of an action holds its key from when it is queued until it has ended, its waits between two attempts
//! included. Whoever queues it again under the key gets that job ([`Queued`]).

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::canonical::{self, BodyError, BodyHash};
use crate::error::StoreError;
use crate::job::{Job, JobId, JobState};
use crate::run::{Failure, FailureClass, Outcome, Run, RunEnd, RunId, Started};

pub use crate::idempotency_key::{IdempotencyKey, KeyError};

/// How long a key is remembered after its last run ended.
pub const KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// Most keys of one connection that are remembered. A further one is refused rather than an older one
/// forgotten: forgetting would let an action act twice.
pub const KEYS_MAX: u64 = 100_000;
/// A key together with what it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    pub key: IdempotencyKey,
    /// Of the input's canonical form, so that spaces and the order of members don't matter.
    pub input: BodyHash,
}

impl KeyUse {
    /// `input` is JSON text of any kind; fails when it is none, or nested too deep.
    pub fn new(key: IdempotencyKey, input: &str) -> Result<Self, BodyError> {
        let input = canonical::hash_value(input)?;
        Ok(Self { key, input })
    }
}

/// What comes of starting a run under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyed {
    /// It has started, and holds the key.
    Started(Started),
    /// An earlier run has the result; no run was started.
    Kept(Box<StoredResult>),
}

/// The result of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// It succeeded, was rejected, or failed after it had acted.
    pub run: Run,
    /// What it returned, JSON text; `None` for a failure.
    pub output: Option<String>,
}

/// What comes of queueing an action under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queued {
    /// The job that holds the key, or has the result. It may be an earlier one.
    Job(Box<Job>),
    /// A run that was no job's has the result; nothing was queued.
    Kept(Box<StoredResult>),
}

/// What a store remembers of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The last run under the key; a job may not have had one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The job that took it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Hexadecimal.
    input: String,
    /// When the key is forgotten; `None` while the run, or the job, holds it.
    pub expires_at: Option<Timestamp>,
    /// Whether the run's result answers a repeat.
    pub kept: bool,
}

/// What a start under a known key comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDecision {
    /// Act.
    Act,
    /// Answer with the result of this run.
    Answer(RunId),
}

impl KeyRow {
    /// The row of a key that `run` takes.
    #[must_use]
    pub fn taken(run: RunId, input: BodyHash) -> Self {
        Self {
            run: Some(run),
            job: None,
            input: hex::encode(input.to_bytes()),
            expires_at: None,
            kept: false,
        }
    }

    /// The row of a key that a job takes which is queued.
    #[must_use]
    pub fn queued(job: JobId, input: BodyHash) -> Self {
        Self {
            run: None,
            job: Some(job),
            input: hex::encode(input.to_bytes()),
            expires_at: None,
            kept: false,
        }
    }

    /// The row after a change of `job`, if that is to be another one: it holds the key while it waits or
    /// runs, and lets go of it when it ends.
    #[must_use]
    pub fn following(&self, job: &Job) -> Option<Self> {
        let has_let_go = self.expires_at.is_some() && job.ended_at.is_some();
        if self.job != Some(job.id) || has_let_go {
            return None;
        }
        let row = Self {
            run: job.run.or(self.run),
            expires_at: job
                .ended_at
                .map(|at| Timestamp(at.0.saturating_add(KEPT_MS))),
            kept: keeps_job(job),
            ..self.clone()
        };
        (row != *self).then_some(row)
    }

    /// The row once its run has ended so.
    #[must_use]
    pub fn settled(&self, end: &RunEnd) -> Self {
        Self {
            expires_at: Some(Timestamp(end.at.0.saturating_add(KEPT_MS))),
            kept: keeps(end),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What a start under this key, which has not expired, comes to.
    pub fn judge(&self, wanted: &KeyUse) -> Result<KeyDecision, StoreError> {
        self.check_input(wanted)?;
        match (self.expires_at, self.kept, self.run) {
            (None, _, _) => Err(self.busy(&wanted.key)),
            (Some(_), true, Some(run)) => Ok(KeyDecision::Answer(run)),
            (Some(_), _, _) => Ok(KeyDecision::Act),
        }
    }

    /// The job that holds this key, which has not expired, or has the result.
    pub fn job_for(&self, wanted: &KeyUse) -> Result<Option<JobId>, StoreError> {
        self.check_input(wanted)?;
        let counts = self.expires_at.is_none() || self.kept;
        Ok(self.job.filter(|_| counts))
    }

    fn check_input(&self, wanted: &KeyUse) -> Result<(), StoreError> {
        if self.input == hex::encode(wanted.input.to_bytes()) {
            return Ok(());
        }
        Err(StoreError::KeyConflict {
            key: wanted.key.clone(),
            by: self.user(),
        })
    }

    /// Somebody else has the key.
    #[must_use]
    pub fn busy(&self, key: &IdempotencyKey) -> StoreError {
        StoreError::Busy {
            what: format!("idempotency key {key}"),
            by: self.user(),
        }
    }

    /// The last one that took it.
    fn user(&self) -> String {
        let job = self.job.map(|job| job.to_string());
        let run = || self.run.map(|run| run.to_string());
        job.or_else(run).unwrap_or_default()
    }
}

/// Whether a job has a result: it succeeded, was rejected, or acted and failed.
fn keeps_job(job: &Job) -> bool {
    match job.state {
        JobState::Succeeded => true,
        JobState::Dead | JobState::Discarded => settles(job.failure.as_ref()),
        _ => false,
    }
}

/// Whether a run that ended so has a result: one that another try would not change.
fn keeps(end: &RunEnd) -> bool {
    end.outcome == Outcome::Success || settles(end.failure.as_ref())
}

/// Whether another try could only fail again, or do twice what was, or may have been, done.
fn settles(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| failure.class == FailureClass::Rejected || failure.may_be_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        let long = "k".repeat(255);
        for good in ["k", "order-17/retry?", "~!", &long] {
            assert_eq!(good.parse::<IdempotencyKey>().unwrap().as_str(), good);
        }
        let longer = "k".repeat(256);
        for bad in ["", "a b", "a\n", "é", "\u{7f}", &longer] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn inputs_are_compared_by_what_they_say() {
        let hash = |input| KeyUse::new("k".parse().unwrap(), input).map(|used| used.input);
        assert_eq!(hash(r#"{"a":1,"b":2}"#), hash(r#"{ "b": 2, "a": 1.0 }"#));
        assert_ne!(hash("1"), hash("2"));
        assert_eq!(hash("null"), hash(" null "));
        for bad in ["", "{", r#"1},"x":{"#, r#"1,"x":2"#, r#"1,"input":2"#] {
            assert!(hash(bad).is_err(), "{bad}");
        }
    }
}
