//! Jobs: what waits, runs, or has ended.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::job::{self, JobId};
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::failure::{Failure, Outcome};
use super::in_one_line;
use super::run::{RunKind, RunTrigger};
use super::text::{self, Time};
use super::word::words;

words! {
    /// Where a job is.
    pub(crate) enum JobState of job::JobState {
        Queued = "queued",
        Running = "running",
        Succeeded = "succeeded",
        /// It failed for good: not worth retrying, or tried often enough.
        Dead = "dead",
        Cancelled = "cancelled",
        /// It waited in the queue for too long.
        Expired = "expired",
        /// It was dead, and nobody wants it any more.
        Discarded = "discarded",
    }
}

words! {
    /// Which jobs go first.
    pub(crate) enum JobPriority: Default of job::Priority, and back {
        High = "high",
        Normal = "normal" default,
        Low = "low",
    }
}

/// One thing to be done, with a run for each attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    #[schema(value_type = text::JobId)]
    job: JobId,
    kind: RunKind,
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[schema(value_type = text::Name)]
    name: Name,
    state: JobState,
    trigger: RunTrigger,
    priority: JobPriority,
    /// The schedule and its moment that it is for.
    #[schema(value_type = Option<text::ScheduleId>)]
    schedule: Option<ScheduleId>,
    scheduled_for: Option<Time>,
    created_at: Time,
    /// When it may start, or might have.
    due_at: Time,
    expires_at: Option<Time>,
    ended_at: Option<Time>,
    /// Attempts that failed.
    attempts: u32,
    /// Of these, the last ones in a row that got no further. `max_attempts` bounds them.
    fruitless: u32,
    max_attempts: u32,
    /// Its last run.
    #[schema(value_type = Option<text::RunId>)]
    run: Option<RunId>,
    /// How that ended, if it has.
    outcome: Option<Outcome>,
    failure: Option<Failure>,
}

impl From<&job::Job> for Job {
    fn from(job: &job::Job) -> Self {
        let key = job.target.connection();
        Self {
            job: job.id,
            kind: (&job.target).into(),
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            name: job.target.name().clone(),
            state: job.state.clone().into(),
            trigger: job.trigger.into(),
            priority: job.priority.into(),
            schedule: job.fire.map(|fire| fire.schedule),
            scheduled_for: job.fire.map(|fire| Time(fire.scheduled_for)),
            created_at: Time(job.created_at),
            due_at: Time(job.due_at),
            expires_at: job.expires_at.map(Time),
            ended_at: job.ended_at.map(Time),
            attempts: job.attempts,
            fruitless: job.fruitless,
            max_attempts: job.retry.max_attempts,
            run: job.run,
            outcome: job.outcome.map(Into::into),
            failure: job.failure.as_ref().map(Into::into),
        }
    }
}

/// A job with what its action returned.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobWithOutput {
    #[serde(flatten)]
    job: Job,
    /// What an action returned that was queued with `Prefer: respond-async`, once it has succeeded. It is
    /// kept for 24 hours from then on; nothing after that.
    #[schema(value_type = Option<text::JsonValue>)]
    output: Option<Box<RawValue>>,
}

impl JobWithOutput {
    pub fn new(job: &job::Job, output: Option<&str>) -> Result<Self> {
        // Numbers keep their digits.
        let output = output.map(in_one_line).map(RawValue::from_string);
        Ok(Self {
            job: job.into(),
            output: output.transpose().map_err(Problem::internal)?,
        })
    }
}
