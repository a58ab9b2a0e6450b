//! Which runs, jobs, schedules and deliveries to list: every backend asks the same.

use serde::{Deserialize, Serialize};

use crate::job::{Job, JobId};
use crate::run::{Run, RunId};
use crate::schedule::{Schedule, ScheduleId};
use crate::webhook::{Delivery, EndpointId};
use crate::{ConnectionKey, Name};

/// The words for what a run has come to, as [`Run::outcome`] has them.
pub const OUTCOMES: [&str; 7] = [
    "running",
    "success",
    "failed",
    "interrupted",
    "stalled",
    "cancelled",
    "skipped",
];

/// Which runs to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    /// One of [`OUTCOMES`].
    #[serde(default)]
    pub outcome: Option<String>,
    /// Only runs older than this one.
    pub before: Option<RunId>,
    pub limit: usize,
}

impl RunFilter {
    /// Whether `run` is one of those, apart from `before` and `limit`.
    #[must_use]
    pub fn matches(&self, run: &Run) -> bool {
        let key = run.target.connection();
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && self
                .outcome
                .as_ref()
                .is_none_or(|wanted| run.outcome() == wanted)
    }
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    pub schedule: Option<ScheduleId>,
    /// The word of a state, as [`crate::job::JobState::as_str`] has it.
    pub state: Option<String>,
    pub before: Option<JobId>,
    pub limit: usize,
}

impl JobFilter {
    /// The same for a schedule whose connection is known: a schedule's jobs are those of its connection.
    #[must_use]
    pub fn of_connection(mut self, schedule: Option<&ConnectionKey>) -> Self {
        self.connection = self.connection.or_else(|| schedule.cloned());
        self
    }

    /// Whether `job` is one of those, apart from `before` and `limit`.
    #[must_use]
    pub fn matches(&self, job: &Job) -> bool {
        let key = job.target.connection();
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && self
                .schedule
                .is_none_or(|id| job.fire.is_some_and(|fire| fire.schedule == id))
            && self
                .state
                .as_ref()
                .is_none_or(|state| job.state.as_str() == state)
    }
}

/// Which schedules to list, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScheduleFilter {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionKey>,
    pub external_id: Option<String>,
    pub dedup_key: Option<String>,
    /// Only those with this label.
    pub label: Option<(String, String)>,
    pub paused: Option<bool>,
    pub after: Option<ScheduleId>,
    pub limit: usize,
}

impl ScheduleFilter {
    /// Whether `schedule` is one of those, apart from `after` and `limit`.
    #[must_use]
    pub fn matches(&self, schedule: &Schedule) -> bool {
        let definition = &schedule.definition;
        let key = definition.target.connection();
        let same =
            |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        self.integration
            .as_ref()
            .is_none_or(|name| key.integration == *name)
            && self.connection.as_ref().is_none_or(|wanted| key == wanted)
            && same(&self.external_id, &definition.external_id)
            && same(&self.dedup_key, &definition.dedup_key)
            && self
                .label
                .as_ref()
                .is_none_or(|(name, value)| definition.labels.get(name) == Some(value))
            && self
                .paused
                .is_none_or(|paused| schedule.progress.paused.is_some() == paused)
    }
}

/// Which deliveries to list, newest event first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFilter {
    pub endpoint: EndpointId,
    /// Only those in this state: `pending`, `delivered` or `exhausted`.
    pub state: Option<String>,
    /// Only of events before this number.
    pub before: Option<u64>,
    pub limit: usize,
}

impl DeliveryFilter {
    /// Whether `delivery` is one of those, apart from `endpoint` and `limit`.
    #[must_use]
    pub fn matches(&self, delivery: &Delivery) -> bool {
        let state = self.state.as_ref();
        state.is_none_or(|state| delivery.state.as_str() == state)
            && self.before.is_none_or(|before| delivery.seq < before)
    }
}
