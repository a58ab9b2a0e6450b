//! One foreground run of a sync: start it, run it, record its end.

use std::sync::Arc;
use std::time::Duration;

use tidegate_egress::Credentials;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::run::{LogLine, NewRun, Run, RunEnd, RunId, Target, Trigger};
use tidegate_engine::store::SnapshotGuard;
use tidegate_engine::{Name, SyncKey};
use tidegate_runtime::{Meter, Observer, Plugin, RunSpec};

use super::deploy::{check_config, find_sync};
use super::local::Local;
use super::{Progress, SyncRequest};
use crate::problem::{Problem, Result};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// The variant of a sync that is run in one part.
const BASE_VARIANT: &str = "base";

/// Hands a run's log lines to whoever watches.
struct Watch(Arc<dyn Progress>);

impl Observer for Watch {
    fn log(&self, line: &LogLine) {
        self.0.log(line);
    }
}

pub(super) async fn run(
    local: &Local,
    request: SyncRequest,
    progress: Arc<dyn Progress>,
) -> Result<Run> {
    let integration = local
        .find_integration(&request.connection.integration)
        .await?;
    let connection = local.find_connection(&request.connection).await?;
    let config = Local::config(&integration, &connection);
    check_config(&integration.current.manifest, &config)?;
    let models = find_sync(&integration, &config, &request.sync)?;
    let credentials = credentials(local, &integration, &connection, &config)?;
    let plugin = load(local, &integration).await?;

    let now = local.clock.now();
    let variant: Name = BASE_VARIANT.parse()?;
    let target = Target::Sync(SyncKey {
        connection: request.connection,
        sync: request.sync,
        variant,
    });
    let mut random = [0; 16];
    crate::secrets::random(&mut random)?;
    let id = RunId::from_parts(now, u128::from_be_bytes(random));
    let new_run = NewRun {
        id,
        target: target.clone(),
        plugin: plugin.digest(),
        plugin_version: integration.current.manifest.version.to_string(),
        trigger: Trigger::Manual,
        attempt: 1,
        reset: request.reset,
        now,
    };
    let started = local.store.start_run(new_run).await?;
    progress.started(id);
    let meter = Arc::new(Meter::default());
    let spec = RunSpec {
        run: id,
        fence: started.fence,
        target,
        trigger: Trigger::Manual,
        attempt: 1,
        deployment: integration.current,
        connection,
        config,
        models,
        credentials,
        checkpoint: started.checkpoint,
        input: None,
        durability: request.durability,
        guard: SnapshotGuard {
            allow_all: request.allow_deletes,
            ..SnapshotGuard::default()
        },
        meter: Arc::clone(&meter),
        cancelled: Box::pin(interrupted()),
    };
    let watch: Arc<dyn Observer> = Arc::new(Watch(Arc::clone(&progress)));
    let running = local
        .runtime()?
        .run(&plugin, spec, Arc::clone(&local.store), watch);
    let result = {
        tokio::pin!(running);
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        loop {
            tokio::select! {
                result = &mut running => break result,
                _ = tick.tick() => progress.figures(&meter.figures()),
            }
        }
    };
    progress.figures(&result.figures);
    let end = RunEnd {
        at: local.clock.now(),
        outcome: result.outcome,
        failure: result.failure,
        figures: result.figures,
    };
    local.store.finish_run(id, started.fence, end).await?;
    Ok(local.store.run(id).await?)
}

fn credentials(
    local: &Local,
    integration: &Integration,
    connection: &Connection,
    config: &serde_json::Map<String, serde_json::Value>,
) -> Result<Option<Credentials>> {
    let manifest = &integration.current.manifest;
    let has = |name: &str| connection.secret_names.iter().any(|known| known == name);
    let Some(auth) = manifest.auth_for(has) else {
        return Ok(None);
    };
    let secrets = local
        .master_key()?
        .open(&connection.key, &connection.sealed_secrets)?;
    let credentials = Credentials::resolve(auth, &|name| secrets.get(name).cloned(), config);
    credentials
        .map(Some)
        .map_err(|error| Problem::invalid(error).at(&connection.key))
}

async fn load(local: &Local, integration: &Integration) -> Result<Plugin> {
    let bytes = local.store.component(integration.current.digest).await?;
    // Compiling, when the cache doesn't have it, takes up to seconds of CPU.
    tokio::task::block_in_place(|| local.runtime()?.load(&bytes).map_err(Problem::internal))
}

/// Resolves at Ctrl-C or SIGTERM, so that a run ends as cancelled rather than torn.
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
