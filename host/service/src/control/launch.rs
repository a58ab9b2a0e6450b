//! What every foreground run has in common: find what it needs, start it, run it, record its end.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tidegate_egress::{Credentials, SecretTexts};
use tidegate_engine::cassette::Seed;
use tidegate_engine::idempotency::{IdempotencyKey, KeyUse, Keyed};
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Figures, LogLine, NewRun, Outcome, RunEnd, RunId, Target, Trigger,
};
use tidegate_engine::store::{Claimed, Durability, Durable, Started};
use tidegate_engine::{ConnectionKey, Name, StoreError, Timestamp};
use tidegate_runtime::{Meter, Observer, OutputCheck, Plugin, Recording, RunResult, RunSpec};
use tracing::Instrument;

use super::changes::Changes;
use super::credentials::secrets;
use super::deploy::ConfigSchema;
use super::local::Local;
use super::run_registry::{RunHandle, RunRegistry, Stop};
use super::truncate;
use super::upkeep::forget_cassettes;
use super::{Invoked, Progress};
use crate::cassettes::CassetteWriter;
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

/// Where a run takes place.
pub(super) struct RunSite {
    pub(super) integration: Arc<Integration>,
    pub(super) connection: Connection,
    /// The integration's config with the connection's merged over it, valid by the manifest's schema.
    pub(super) config: Map<String, Value>,
}

impl RunSite {
    pub(super) async fn of(local: &Local, key: &ConnectionKey) -> Result<Self> {
        let integration = local.find_integration(&key.integration).await?;
        Self::at(local, integration, key).await
    }

    /// The same with the integration as it was at some moment.
    pub(super) async fn at(
        local: &Local,
        integration: Arc<Integration>,
        key: &ConnectionKey,
    ) -> Result<Self> {
        let connection = local.find_connection(key).await?;
        let config = Local::config(&integration, &connection);
        let schema = ConfigSchema::of(local, &integration).await?;
        schema.check(&config).await?;
        Ok(Self {
            integration,
            connection,
            config,
        })
    }
}

/// What to run.
pub(super) struct RunRequest {
    pub(super) target: Target,
    /// Models that it may read and write.
    pub(super) models: Vec<Name>,
    pub(super) reset: bool,
    /// Begin with nothing, if there is no checkpoint to go on from.
    pub(super) empty: bool,
    pub(super) allow_deletes: bool,
    pub(super) durability: Durability,
    /// JSON text for an action.
    pub(super) input: Option<String>,
    pub(super) key: Option<KeyUse>,
    pub(super) output_check: Option<OutputCheck>,
    /// Write the run's cassette to this file.
    pub(super) record: Option<PathBuf>,
}

/// What a run needs besides what the store says of it.
struct Prepared {
    plugin: Plugin,
    credentials: Option<Credentials>,
    secrets: SecretTexts,
    take: Option<CassetteWriter>,
    recording: Option<Recording>,
    seed: Seed,
}

impl Prepared {
    async fn of(local: &Local, site: &RunSite, launch: &RunRequest) -> Result<Self> {
        let again = matches!(launch.target, Target::Event { .. });
        let secrets = secrets(local, site, again).await?;
        let plugin = load(local, &site.integration).await?;
        let take = match launch.target {
            // A check of the connection is nothing to replay.
            Target::Event { .. } => None,
            _ => CassetteWriter::begin(&local.data, &site.connection.key, launch.record.clone())?,
        };
        let recording = match &take {
            Some(take) => Some(Recording {
                sink: take.sink()?,
                secrets: secrets.texts.clone(),
            }),
            None => None,
        };
        let mut seed = Seed([0; 32]);
        crate::secrets::random(&mut seed.0)?;
        Ok(Self {
            plugin,
            credentials: secrets.credentials,
            secrets: secrets.texts,
            take,
            recording,
            seed,
        })
    }
}

/// A run as it was started.
struct StartedRun {
    id: RunId,
    started: Started,
    stored: Durable,
    /// Whether its end is answered before it is on disk.
    is_early: bool,
    trigger: Trigger,
    attempt: u32,
    idempotency_key: Option<IdempotencyKey>,
    /// Whether what it returns is kept for those who repeat its key.
    holds_key: bool,
    /// Whether it is an attempt of a job, which goes on elsewhere if this host stops.
    is_of_job: bool,
    handle: RunHandle,
    stopped: BoxFuture<'static, Stop>,
}

/// A new id for a run that starts now.
pub(crate) fn new_run_id(now: Timestamp) -> Result<RunId> {
    Ok(RunId::from_parts(now, super::ids::next(now)?))
}

/// Run something to its end, unless an earlier run under its key has the result. An error means that
/// no run started, or that its end could not be stored: it was fenced off, or the store failed.
pub(super) async fn run(
    local: &Local,
    site: RunSite,
    mut launch: RunRequest,
    progress: Arc<dyn Progress>,
) -> Result<Invoked> {
    let prepared = Prepared::of(local, &site, &launch).await?;
    let now = local.clock.now();
    let id = new_run_id(now)?;
    let new_run = NewRun {
        id,
        target: launch.target.clone(),
        plugin: prepared.plugin.digest(),
        plugin_version: site.integration.current.manifest.version.to_string(),
        trigger: local.trigger(),
        attempt: 1,
        job: None,
        reset: launch.reset,
        now,
    };
    // Before it starts, so that a removal of its connection finds it here or not at all.
    let (handle, stopped) = local.registry.enter(id, launch.target.connection());
    let key = launch.key.take();
    let idempotency_key = key.as_ref().map(|used| used.key.clone());
    // Somebody waits for what it returns (docs/decisions/0010).
    let is_early = key.is_none() && matches!(launch.target, Target::Action { .. });
    let (started, stored) = match key {
        None if is_early => local.store.start_run_early(new_run).await?,
        None => (local.store.start_run(new_run).await?, Durable::already()),
        Some(key) => match local.store.start_keyed_run(new_run, key).await? {
            Keyed::Started(started) => (started, Durable::already()),
            Keyed::Kept(kept) => {
                return Ok(Invoked {
                    run: kept.run,
                    output: kept.output,
                    repeated: true,
                });
            }
        },
    };
    let begun = StartedRun {
        id,
        started,
        stored,
        is_early,
        trigger: local.trigger(),
        attempt: 1,
        holds_key: idempotency_key.is_some(),
        idempotency_key,
        is_of_job: false,
        handle,
        stopped,
    };
    let span = spans::invoked(id, &launch.target);
    // It is large, and lives as long as the run.
    let driven = Box::pin(drive(local, site, launch, prepared, begun, progress));
    driven.instrument(span).await
}

/// Run what a job was claimed for to its end. An error means that it could not begin.
pub(super) async fn run_claimed(
    local: &Local,
    site: RunSite,
    launch: RunRequest,
    claimed: Claimed,
    handle: RunHandle,
    stopped: BoxFuture<'static, Stop>,
    progress: Arc<dyn Progress>,
) -> Result<Invoked> {
    let prepared = Prepared::of(local, &site, &launch).await?;
    let begun = StartedRun {
        id: claimed.run,
        started: claimed.started,
        stored: Durable::already(),
        is_early: false,
        trigger: claimed.job.trigger,
        attempt: claimed.job.attempts + 1,
        idempotency_key: claimed.job.idempotency_key,
        holds_key: claimed.job.holds_key,
        is_of_job: true,
        handle,
        stopped,
    };
    // It is large, and lives as long as the run.
    Box::pin(drive(local, site, launch, prepared, begun, progress)).await
}

async fn drive(
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
    if launch.empty && begun.started.checkpoint.is_none() {
        let emptied = truncate::models(local, id, fence, &launch.models, &meter).await;
        local.changes.tell(launch.target.connection());
        if let Err(error) = emptied {
            let message = format!("its records could not be deleted: {error}");
            let failure = Failure::new(FailureClass::Internal, Blame::Host, message);
            let end = ended(local, Outcome::Failed, Some(failure), meter.figures(), None);
            let run = local.store.finish_run(id, fence, end).await?;
            spans::ended(&run);
            return Ok(Invoked {
                run,
                output: None,
                repeated: false,
            });
        }
    }
    let why = Arc::new(OnceLock::new());
    let (told, stopped) = (Arc::clone(&why), begun.stopped);
    let stopped = async move {
        // Nobody else sets it.
        let _ = told.set(stopped.await);
    };
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
        cancelled: match local.hears_signals() {
            true => Box::pin(interrupted_or(stopped)),
            false => Box::pin(stopped),
        },
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
    let output = result.output;
    let finish = match &output {
        Some(output) if begun.holds_key && end.outcome == Outcome::Success => {
            let output = output.clone();
            local.store.finish_keyed_run(id, fence, end, output)
        }
        _ if begun.is_early => {
            begun.stored.wait().await?;
            local.store.finish_run_early(id, fence, end)
        }
        _ => local.store.finish_run(id, fence, end),
    };
    let deferred = result.deferred;
    let (finished, ()) = tokio::join!(finish, async move { drop(deferred) });
    if let Err(StoreError::Fenced { .. }) = finished {
        // What it recorded came after the removal.
        forget_cassettes(local).await?;
        let message = format!(
            "run {id} was stopped from outside, or its connection was removed while it ran"
        );
        return Err(Problem::new(Kind::Conflict, message));
    }
    let run = finished?;
    spans::ended(&run);
    Ok(Invoked {
        run,
        output,
        repeated: false,
    })
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

async fn load(local: &Local, integration: &Integration) -> Result<Plugin> {
    let digest = integration.current.digest;
    if let Some(plugin) = local.plugins.get(digest) {
        return Ok(plugin);
    }
    let bytes = local.store.component(digest).await?;
    // Compiling, when the cache doesn't have it, takes up to seconds of CPU.
    let load = || local.runtime()?.load(&bytes).map_err(Problem::internal);
    let plugin = tokio::task::block_in_place(load)?;
    local.plugins.put(plugin.clone());
    Ok(plugin)
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
