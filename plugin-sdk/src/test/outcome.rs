//! What came of a run on the fake host.

use std::collections::BTreeMap;

use serde_json::Value;

use super::request::Request;
use crate::host::{Batch, Level, ModelOutcome};
use crate::{Failure, Result};

/// What came of one run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// What the handler returned. A run that the test killed is a failure with the code `killed`.
    pub result: Result<T>,
    /// What was committed, in order.
    pub commits: Vec<Committed>,
    /// What was asked of the outside API, in order.
    pub requests: Vec<Request>,
    /// The most requests that were under way at the same moment.
    pub in_flight_max: usize,
    /// The run's log.
    pub logs: Vec<LogLine>,
    pub(super) records: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) checkpoint: Option<Value>,
    pub(super) metadata: Value,
}

/// One commit, or the end of a snapshot (with no batches).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Committed {
    /// As the plugin sent them.
    pub batches: Vec<Batch>,
    /// As the plugin sent it.
    pub checkpoint: Option<Value>,
    /// What it did, per model.
    pub outcome: Vec<ModelOutcome>,
}

/// One line of the run's log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its fields: an object, or null without any.
    pub fields: Value,
}

impl<T> Outcome<T> {
    /// Panics when the run failed, with the failure.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_ok(&self) -> &Self {
        if let Err(failure) = &self.result {
            panic!("the run failed: {failure}\n{failure:#?}");
        }
        self
    }

    /// The failure of the run. Panics when it succeeded.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion for tests")]
    pub fn failure(&self) -> &Failure {
        match &self.result {
            Err(failure) => failure,
            Ok(_) => panic!("the run succeeded"),
        }
    }

    /// The records of a model that are stored after the run, by id.
    #[must_use]
    pub fn records(&self, model: &str) -> BTreeMap<String, Value> {
        self.records.get(model).cloned().unwrap_or_default()
    }

    /// What the commits of this run did to a model, added up.
    #[must_use]
    pub fn totals(&self, model: &str) -> ModelOutcome {
        let mut totals = ModelOutcome {
            model: model.to_owned(),
            ..ModelOutcome::default()
        };
        let outcomes = self.commits.iter().flat_map(|commit| &commit.outcome);
        for outcome in outcomes.filter(|outcome| outcome.model == model) {
            totals.added += outcome.added;
            totals.updated += outcome.updated;
            totals.deleted += outcome.deleted;
            totals.unchanged += outcome.unchanged;
            totals.skipped += outcome.skipped;
        }
        totals
    }

    /// The checkpoint that is stored after the run.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Value> {
        self.checkpoint.as_ref()
    }

    /// The connection's metadata after the run.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }
}
