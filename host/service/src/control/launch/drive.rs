//! A run that has started, to its end: its guest, whoever watches, and what is stored of how it ended.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Figures, LogLine, Outcome, Run, RunEnd, RunId, Target,
};
use tidegate_engine::store::Durable;
use tidegate_engine::{ConnectionKey, StoreError};
use tidegate_runtime::{Meter, Observer, Plugin, RunResult, RunSpec};

use super::{Prepared, RunRequest, RunSite, StartedRun};
use crate::control::changes::Changes;
use crate::control::local::Local;
use crate::control::run_registry::{RunRegistry, Stop};
use crate::control::upkeep::forget_cassettes;
use crate::control::{Invoked, Progress, truncate};
use crate::problem::{Kind, Problem, Result};
use crate::spans;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Hands a run's log lines to whoever watches, tells of its commits, and stops it at a checkpoint when the host stops.
struct Watch {
    run: RunId,
    registry: RunRegistry,
    progress: Arc<dyn Progress>,
    changes: Arc<Changes>,
    connection: ConnectionKey,
}

impl Observer for Watch {
    fn log(&self, line: &LogLine) {
        self.progress.log(line);
    }

    fn committed(&self) {
        self.changes.tell(&self.connection);
    }

    fn at_checkpoint(&self) -> bool {
        self.registry.stops_at_checkpoint(self.run)
    }
}

/// Run what has started to its end.
pub(super) async fn drive(
    local: &Local,
    site: RunSite,
    launch: RunRequest,
    prepared: Prepared,
    begun: StartedRun,
    progress: Arc<dyn Progress>,
) -> Result<Invoked> {
    let (id, fence) = (begun.id, begun.started.fence);
    progress.started(id);
    let meter = Arc::new(Meter::default());
    // With a checkpoint, an earlier attempt has done so, and what is there now was pulled since.
    if launch.empty
        && begun.started.checkpoint.is_none()
        && let Some(ended) = empty_models(local, id, fence, &launch, &meter).await?
    {
        return Ok(ended);
    }
    let why = Arc::new(OnceLock::new());
    let cancelled = cancelled(local, Arc::clone(&why), begun.stopped);
    // What somebody waits for is repeated by nobody else, but a sync goes on from its checkpoint.
    let goes_on = begun.is_of_job || matches!(launch.target, Target::Sync(_));
    let spec = RunSpec {
        run: id,
        fence,
        target: launch.target,
        trigger: begun.trigger,
        attempt: begun.attempt,
        integration: site.integration,
        connection: site.connection,
        config: site.config,
        models: launch.models,
        credentials: prepared.credentials,
        secrets: prepared.secrets,
        checkpoint: begun.started.checkpoint,
        input: launch.input,
        idempotency_key: begun.idempotency_key,
        output_check: launch.output_check,
        durability: launch.durability,
        stored: begun.stored.clone(),
        allow_deletes: launch.allow_deletes,
        seed: prepared.seed,
        recording: prepared.recording,
        meter: Arc::clone(&meter),
        cancelled,
    };
    let result = watched(local, &prepared.plugin, spec, &meter, progress).await?;
    if let Some(take) = prepared.take {
        take.finish(id, result.recorded);
    }
    let end = ended(
        local,
        result.outcome,
        result.failure,
        result.figures,
        why.get().filter(|_| goes_on),
    );
    drop(begun.handle);
    let ending = Ending {
        id,
        fence,
        holds_key: begun.holds_key,
        is_early: begun.is_early,
        stored: begun.stored,
    };
    let finish = ending.store(local, end, result.output.as_deref());
    let deferred = result.deferred;
    let (finished, ()) = tokio::join!(finish, async move { drop(deferred) });
    Ok(Invoked {
        run: finished?,
        output: result.output,
        repeated: false,
    })
}

/// Resolves when the run is told to stop, and writes down why; or at a signal, if nobody else hears those.
fn cancelled(
    local: &Local,
    why: Arc<OnceLock<Stop>>,
    stopped: BoxFuture<'static, Stop>,
) -> BoxFuture<'static, ()> {
    let stopped = async move {
        // Nobody else sets it.
        let _ = why.set(stopped.await);
    };
    match local.hears_signals() {
        true => Box::pin(interrupted_or(stopped)),
        false => Box::pin(stopped),
    }
}

/// Delete the records of the models of a run that begins with nothing. Where that fails, the run is over: what it came to.
async fn empty_models(
    local: &Local,
    id: RunId,
    fence: Fence,
    launch: &RunRequest,
    meter: &Arc<Meter>,
) -> Result<Option<Invoked>> {
    let emptied = truncate::models(local, id, fence, &launch.models, meter).await;
    local.changes.tell(launch.target.connection());
    let Err(error) = emptied else {
        return Ok(None);
    };
    let message = format!("its records could not be deleted: {error}");
    let failure = Failure::new(FailureClass::Internal, Blame::Host, message);
    let end = ended(local, Outcome::Failed, Some(failure), meter.figures(), None);
    let run = local.store.finish_run(id, fence, end).await?;
    spans::ended(&run);
    Ok(Some(Invoked {
        run,
        output: None,
        repeated: false,
    }))
}

/// A run whose guest has ended, and how its end is stored.
struct Ending {
    id: RunId,
    fence: Fence,
    holds_key: bool,
    is_early: bool,
    stored: Durable,
}

impl Ending {
    async fn store(self, local: &Local, end: RunEnd, output: Option<&str>) -> Result<Run> {
        let (id, fence) = (self.id, self.fence);
        let stored = match output {
            Some(output) if self.holds_key && end.outcome == Outcome::Success => {
                let output = output.to_owned();
                local.store.finish_keyed_run(id, fence, end, output).await
            }
            _ if self.is_early => {
                self.stored.wait().await?;
                local.store.finish_run_early(id, fence, end).await
            }
            _ => local.store.finish_run(id, fence, end).await,
        };
        if let Err(StoreError::Fenced { .. }) = stored {
            // What it recorded came after the removal.
            forget_cassettes(local).await?;
            let message = format!(
                "run {id} was stopped from outside, or its connection was removed while it ran"
            );
            return Err(Problem::new(Kind::Conflict, message));
        }
        let run = stored?;
        spans::ended(&run);
        Ok(run)
    }
}

/// How a run ended. One that was cut because the host stops, and that another goes on with, is no fault of its own.
fn ended(
    local: &Local,
    outcome: Outcome,
    failure: Option<Failure>,
    figures: Figures,
    why: Option<&Stop>,
) -> RunEnd {
    let message = match why {
        Some(Stop::HostStops) if outcome == Outcome::Cancelled => {
            "the server stopped; what it had committed stays, and the next run goes on from there"
        }
        Some(Stop::LeaseEnded) if outcome == Outcome::Cancelled => {
            "its lease ended; another run goes on from what it had committed"
        }
        _ => {
            return RunEnd {
                at: local.clock.now(),
                outcome,
                failure,
                figures,
            };
        }
    };
    RunEnd {
        at: local.clock.now(),
        outcome: Outcome::Interrupted,
        failure: Some(Failure::new(FailureClass::Internal, Blame::Host, message)),
        figures,
    }
}

/// Run it, and tell `progress` how it goes on.
async fn watched(
    local: &Local,
    plugin: &Plugin,
    spec: RunSpec,
    meter: &Meter,
    progress: Arc<dyn Progress>,
) -> Result<RunResult> {
    let watch: Arc<dyn Observer> = Arc::new(Watch {
        run: spec.run,
        registry: local.registry.clone(),
        progress: Arc::clone(&progress),
        changes: Arc::clone(&local.changes),
        connection: spec.connection.key.clone(),
    });
    let running = local
        .runtime()?
        .run(plugin, spec, Arc::clone(&local.store), watch);
    tokio::pin!(running);
    let result = match progress.wants_figures() {
        // A timer wakes a thread.
        false => running.await,
        true => {
            let mut tick = tokio::time::interval(PROGRESS_EVERY);
            loop {
                tokio::select! {
                    result = &mut running => break result,
                    _ = tick.tick() => progress.figures(&meter.figures()),
                }
            }
        }
    };
    progress.figures(&result.figures);
    Ok(result)
}

/// Resolves at Ctrl-C or SIGTERM, so that a run ends as cancelled rather than torn, or when the run
/// is told to stop.
async fn interrupted_or(stopped: impl Future<Output = ()>) {
    tokio::select! {
        () = interrupted() => {}
        () = stopped => {}
    }
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            // Without the handler the signal ends the process, and the store is safe with that.
            std::future::pending::<()>().await;
        }
    }
}
