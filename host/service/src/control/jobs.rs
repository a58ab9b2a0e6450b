//! Jobs: triggers and calls that wait their turn, and running what was claimed.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tidegate_engine::command;
use tidegate_engine::job::{Job, JobId, JobState, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::{Blame, Failure, FailureClass, Figures, Outcome, RunEnd, RunId};
use tidegate_engine::store::{Claimed, Durability, JobFilter};
use tidegate_engine::{ConnectionKey, Name, StoreError, Timestamp};

use super::deploy::find_sync;
use super::events;
use super::launch::{self, RunRequest, RunSite};
use super::local::Local;
use super::run_registry::{RunHandle, Stop};
use super::{SilentObserver, action};
use crate::problem::{Kind, Problem, Result};
use crate::spans;

/// How often, and how fast, a run that has only just been claimed is looked for.
const LOOKS: u32 = 200;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A sync to run when its turn comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TriggerRequest {
    pub connection: ConnectionKey,
    pub sync: Name,
    pub reset: bool,
    /// Delete the records of its models first, too; it resets then.
    pub empty: bool,
    /// The snapshot guard's exception.
    pub allow_deletes: bool,
}

/// Check that `target` names a sync, or an action and an input for it, of a connection that is there.
pub(super) async fn check_target(local: &Local, target: &JobTarget) -> Result<()> {
    let site = RunSite::of(local, target.connection()).await?;
    launch_of(local, &site, target).await.map(drop)
}

/// What a job of `target` launches.
async fn launch_of(local: &Local, site: &RunSite, target: &JobTarget) -> Result<RunRequest> {
    let (models, output_check) = match target {
        JobTarget::Sync { sync, .. } => {
            let found = find_sync(&site.integration, &site.config, sync)?;
            (found.models, None)
        }
        JobTarget::Action { action, input, .. } => {
            let found = action::checked(local, site, action, input.as_str()).await?;
            (found.models, Some(found.output_check))
        }
        // It reads and writes no records.
        JobTarget::Event { .. } => (Vec::new(), None),
    };
    let (reset, empty, allow_deletes) = match target {
        JobTarget::Sync {
            reset,
            empty,
            allow_deletes,
            ..
        } => (*reset, *empty, *allow_deletes),
        JobTarget::Action { .. } | JobTarget::Event { .. } => (false, false, false),
    };
    Ok(RunRequest {
        target: target.run_target(),
        models,
        reset,
        empty,
        allow_deletes,
        durability: Durability::Durable,
        input: match target {
            JobTarget::Event { .. } => Some(events::PAYLOAD.to_owned()),
            target => target.input().map(str::to_owned),
        },
        key: None,
        output_check,
        record: None,
    })
}

pub(super) fn new_job_id(now: Timestamp) -> Result<JobId> {
    Ok(JobId::from_parts(now, super::ids::next(now)?))
}

pub(super) async fn trigger(local: &Local, request: TriggerRequest) -> Result<Job> {
    let target = JobTarget::Sync {
        connection: request.connection,
        sync: request.sync,
        variant: Name::base_variant(),
        reset: request.reset || request.empty,
        empty: request.empty,
        allow_deletes: request.allow_deletes,
    };
    enqueue(local, target).await
}

/// Queue a sync that somebody waits for, or find the job that waits to do the same.
pub(super) async fn enqueue(local: &Local, target: JobTarget) -> Result<Job> {
    check_target(local, &target).await?;
    let now = local.clock.now();
    let job = NewJob {
        id: new_job_id(now)?,
        target,
        trigger: local.trigger(),
        fire: None,
        priority: Priority::High,
        concurrency: None,
        retry: Retry::default(),
        due_at: now,
        expires_at: None,
        idempotency_key: None,
        now,
    };
    let job = local.store.enqueue(job).await?;
    local.jobs_changed.notify();
    Ok(job)
}

pub(super) async fn list(local: &Local, filter: JobFilter) -> Result<Vec<Job>> {
    if let Some(key) = &filter.connection {
        local.find_connection(key).await?;
    } else if let Some(integration) = &filter.integration {
        local.find_integration(integration).await?;
    }
    Ok(local.store.jobs(filter).await?)
}

pub(super) async fn show(local: &Local, id: JobId) -> Result<Job> {
    let job = local.store.job(id).await.map_err(Problem::from);
    job.map_err(|problem| problem.advise("list them with", command!("jobs list")))
}

/// What the action of a job returned, as long as that is kept.
pub(super) async fn output(local: &Local, id: JobId) -> Result<Option<String>> {
    Ok(local.store.job_output(id).await?)
}

/// Cancel a job. One that runs here is stopped.
pub(super) async fn cancel(local: &Local, id: JobId) -> Result<Job> {
    show(local, id).await?;
    let mut job = local.store.cancel_job(id, local.clock.now()).await?;
    for _ in 0..LOOKS {
        let (JobState::Running { .. }, Some(run)) = (&job.state, job.run) else {
            break;
        };
        if local.registry.stop_run(run, Stop::Cancelled) {
            break;
        }
        // It was claimed a moment ago, or is about to end.
        tokio::time::sleep(LOOK_EVERY).await;
        job = local.store.job(id).await?;
    }
    local.jobs_changed.notify();
    Ok(job)
}

pub(super) async fn redrive(local: &Local, id: JobId) -> Result<Job> {
    show(local, id).await?;
    let job = local.store.redrive_job(id, local.clock.now()).await?;
    local.jobs_changed.notify();
    Ok(job)
}

pub(super) async fn discard(local: &Local, id: JobId) -> Result<Job> {
    show(local, id).await?;
    Ok(local.store.discard_job(id, local.clock.now()).await?)
}

/// A run of this process that may be told to stop.
pub(crate) type Stoppable = (RunHandle, BoxFuture<'static, Stop>);

impl Local {
    /// Take a claimed run in, so that it can be told to stop.
    pub(crate) fn take_in(&self, claimed: &Claimed) -> Stoppable {
        self.registry
            .enter(claimed.run, claimed.job.target.connection())
    }

    /// Tell one run to stop; false if it is not here.
    pub(crate) fn stop_run(&self, run: RunId, why: Stop) -> bool {
        self.registry.stop_run(run, why)
    }

    /// The same for one that was claimed only a moment ago, and may not be here yet.
    pub(crate) async fn stop_soon(&self, run: RunId, why: Stop) {
        for _ in 0..LOOKS {
            if self.stop_run(run, why) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Run what was claimed to its end, which is stored whatever it is.
    pub(crate) async fn work(&self, claimed: Claimed, stoppable: Stoppable) -> Result<()> {
        let (run, fence) = (claimed.run, claimed.started.fence);
        let Err(problem) = self.attempt(claimed, stoppable).await else {
            return Ok(());
        };
        let end = RunEnd {
            at: self.clock.now(),
            outcome: Outcome::Failed,
            failure: Some(failure_of(&problem)),
            figures: Figures::default(),
        };
        let run = match self.store.finish_run(run, fence, end).await {
            // Its end is stored already, or somebody else goes on.
            Err(StoreError::Fenced { .. }) => return Ok(()),
            finished => finished?,
        };
        spans::ended(&run);
        Ok(())
    }

    async fn attempt(&self, claimed: Claimed, (handle, stopped): Stoppable) -> Result<()> {
        let key = claimed.job.target.connection().clone();
        let site = RunSite::at(self, claimed.integration.clone(), &key).await?;
        let launch = launch_of(self, &site, &claimed.job.target).await?;
        launch::run_claimed(
            self,
            site,
            launch,
            claimed,
            handle,
            stopped,
            Arc::new(SilentObserver),
        )
        .await?;
        Ok(())
    }
}

/// What a problem before a run means for its job.
fn failure_of(problem: &Problem) -> Failure {
    let (class, blame) = match problem.kind {
        Kind::Internal | Kind::Upstream => (FailureClass::Internal, Blame::Host),
        Kind::RunFailed => (FailureClass::Auth, Blame::Operator),
        _ => (FailureClass::Config, Blame::Operator),
    };
    // It is shown to whoever may start a job, too.
    let said = match problem.lists {
        true => problem.message.clone(),
        false => problem.to_string(),
    };
    Failure::new(class, blame, said)
}
