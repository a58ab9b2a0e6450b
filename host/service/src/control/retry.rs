//! Trying a run again that did not succeed: by its job if that can be, else by a new one.

use tidegate_engine::StoreError;
use tidegate_engine::command;
use tidegate_engine::job::{Job, JobState, JobTarget};
use tidegate_engine::run::{Outcome, Run, RunId, Target};

use super::Management;
use super::events;
use super::jobs;
use super::local::Local;
use super::submit_action::{self, ActionSubmission, SubmitAction};
use crate::problem::{Kind, Problem, Result};

fn conflict(message: String) -> Problem {
    Problem::new(Kind::Conflict, message)
}

/// The job that does again what the run did not.
pub(super) async fn run(local: &Local, id: RunId) -> Result<Job> {
    let run = Management::run(local, id).await?;
    match run.end.as_ref().map(|end| end.outcome) {
        None => Err(conflict(format!("run {id} has not ended"))),
        Some(Outcome::Success) => Err(conflict(format!(
            "run {id} succeeded: there is nothing to try again"
        ))),
        Some(_) => match job_of(local, &run).await? {
            Some(job) => by_job(local, id, job).await,
            None => by_target(local, id, run.target).await,
        },
    }
}

/// The job that a run was an attempt of, unless it is forgotten.
async fn job_of(local: &Local, run: &Run) -> Result<Option<Job>> {
    let Some(id) = run.job else {
        return Ok(None);
    };
    match local.store.job(id).await {
        Err(StoreError::NotFound { .. }) => Ok(None),
        found => Ok(Some(found?)),
    }
}

async fn by_job(local: &Local, run: RunId, job: Job) -> Result<Job> {
    match job.state {
        JobState::Queued | JobState::Running { .. } => Ok(job),
        JobState::Dead => jobs::redrive(local, job.id).await,
        JobState::Succeeded => Err(conflict(format!(
            "run {run} did not succeed, but its job {} has since: there is nothing to try again",
            job.id
        ))),
        JobState::Cancelled | JobState::Expired | JobState::Discarded => again(local, job).await,
    }
}

/// Queue anew what nobody wanted any more. Like any further attempt a sync goes on from its checkpoint.
async fn again(local: &Local, job: Job) -> Result<Job> {
    let (connection, action, input) = match job.target {
        JobTarget::Sync {
            connection,
            sync,
            variant,
            empty,
            allow_deletes,
            ..
        } => {
            let target = JobTarget::Sync {
                connection,
                sync,
                variant,
                reset: false,
                empty,
                allow_deletes,
            };
            return jobs::enqueue(local, target).await;
        }
        JobTarget::Action {
            connection,
            action,
            input,
        } => (connection, action, input),
        target @ JobTarget::Event { .. } => return jobs::enqueue(local, target).await,
    };
    let request = SubmitAction {
        connection,
        action,
        input: input.as_str().to_owned(),
        // The API may have seen it already.
        idempotency_key: job.idempotency_key,
        priority: job.priority,
        concurrency: job.concurrency.as_ref().and_then(submit_action::as_wanted),
    };
    match submit_action::invoke_later(local, request).await? {
        ActionSubmission::Job(job) if job.state.is_active() => Ok(*job),
        ActionSubmission::Job(job) => Err(conflict(format!(
            "job {} has had the same idempotency key since, and is {}",
            job.id,
            job.state.as_str()
        ))),
        ActionSubmission::Done(invoked) => Err(conflict(format!(
            "run {} has had the same idempotency key since, and has a result",
            invoked.run.id
        ))),
    }
}

async fn by_target(local: &Local, run: RunId, target: Target) -> Result<Job> {
    let target = match target {
        Target::Sync(key) => JobTarget::Sync {
            connection: key.connection,
            sync: key.sync,
            variant: key.variant,
            // What the run forgot and deleted at its start is gone.
            reset: false,
            empty: false,
            allow_deletes: false,
        },
        Target::Event { connection, event } if event == events::CREATED => JobTarget::Event {
            connection,
            event: event.parse().map_err(Problem::internal)?,
        },
        target => return Err(not_kept(run, &target)),
    };
    jobs::enqueue(local, target).await
}

/// Why something else than a sync can't be done again.
fn not_kept(run: RunId, target: &Target) -> Problem {
    let key = target.connection();
    let name = target.name();
    match target {
        Target::Event { .. } => conflict(format!("run {run} is a check of a connection")).advise(
            "check it again",
            command!(
                "connections test {integration} {connection}",
                key.integration,
                key.connection
            ),
        ),
        _ => conflict(format!(
            "run {run} is of the action {name}, and its input is not kept"
        ))
        .advise(
            "invoke it again",
            command!(
                "invoke {integration}/{action} --connection {connection}",
                key.integration,
                name,
                key.connection
            ),
        ),
    }
}
