//! What every foreground run has in common: find what it needs, start it, run it, record its end.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tidegate_egress::{Credentials, SecretTexts};
use tidegate_engine::cassette::Seed;
use tidegate_engine::idempotency::{IdempotencyKey, KeyUse, Keyed};
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::run::{NewRun, RunId, Target, Trigger};
use tidegate_engine::store::{Claimed, Durability, Durable, Started};
use tidegate_engine::{ConnectionKey, Name, Timestamp};
use tidegate_runtime::{OutputCheck, Plugin, Recording};
use tracing::Instrument;

use super::credentials::secrets;
use super::deploy::ConfigSchema;
use super::local::Local;
use super::run_registry::{RunHandle, Stop};
use super::{Invoked, Progress};
use crate::cassettes::CassetteWriter;
use crate::problem::{Problem, Result};
use crate::spans;

mod drive;

use drive::drive;

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
