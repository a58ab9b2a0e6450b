//! Jobs: what waits, runs, or has ended.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::job::{self, JobId, Priority};
use tidegate_engine::run::{Failure, Outcome, RunId, Trigger};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::in_one_line;

/// One thing to be done, with a run for each attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct Job {
    #[schema(value_type = String)]
    job: JobId,
    /// `sync`, `action` or `event`.
    kind: &'static str,
    #[schema(value_type = String)]
    integration: Name,
    #[schema(value_type = String)]
    connection: ConnectionName,
    #[schema(value_type = String)]
    name: Name,
    /// `queued`, `running`, `succeeded`, `dead`, `cancelled`, `expired` or `discarded`.
    state: &'static str,
    #[schema(value_type = String)]
    trigger: Trigger,
    #[schema(value_type = String)]
    priority: Priority,
    /// The schedule and its moment that it is for.
    #[schema(value_type = Option<String>)]
    schedule: Option<ScheduleId>,
    scheduled_for: Option<String>,
    created_at: String,
    /// When it may start, or might have.
    due_at: String,
    expires_at: Option<String>,
    ended_at: Option<String>,
    /// Attempts that failed.
    attempts: u32,
    /// Of these, the last ones in a row that got no further. `max_attempts` bounds them.
    fruitless: u32,
    max_attempts: u32,
    /// Its last run.
    #[schema(value_type = Option<String>)]
    run: Option<RunId>,
    /// How that ended, if it has.
    #[schema(value_type = Option<String>)]
    outcome: Option<Outcome>,
    #[schema(value_type = Option<Object>)]
    failure: Option<Failure>,
}

impl From<&job::Job> for Job {
    fn from(job: &job::Job) -> Self {
        let key = job.target.connection();
        Self {
            job: job.id,
            kind: job.target.kind(),
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            name: job.target.name().clone(),
            state: job.state.as_str(),
            trigger: job.trigger,
            priority: job.priority,
            schedule: job.fire.map(|fire| fire.schedule),
            scheduled_for: job.fire.map(|fire| display::time(fire.scheduled_for)),
            created_at: display::time(job.created_at),
            due_at: display::time(job.due_at),
            expires_at: job.expires_at.map(display::time),
            ended_at: job.ended_at.map(display::time),
            attempts: job.attempts,
            fruitless: job.fruitless,
            max_attempts: job.retry.max_attempts,
            run: job.run,
            outcome: job.outcome,
            failure: job.failure.clone(),
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
    #[schema(value_type = Option<serde_json::Value>)]
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
