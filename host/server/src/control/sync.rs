//! One foreground run of a sync: start it, run it, record its end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tidegate_egress::{Credentials, Secret};
use tidegate_engine::cassette::Seed;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::manifest::Auth;
use tidegate_engine::run::{Fence, LogLine, NewRun, Run, RunEnd, RunId, Target, Trigger};
use tidegate_engine::store::SnapshotGuard;
use tidegate_engine::{Name, StoreError, SyncKey};
use tidegate_runtime::{Meter, Observer, Plugin, Recording, RunSpec};

use super::deploy::{check_config, find_sync};
use super::local::Local;
use super::{Progress, SyncRequest};
use crate::cassettes::Take;
use crate::problem::{Kind, Problem, Result};

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
    let secrets = secrets(local, &integration, &connection, &config)?;
    let plugin = load(local, &integration).await?;
    let take = Take::begin(&local.data, &request.connection, request.record)?;
    let recording = match &take {
        Some(take) => Some(Recording {
            sink: take.sink()?,
            secrets: secrets.texts,
        }),
        None => None,
    };
    let mut seed = Seed([0; 32]);
    crate::secrets::random(&mut seed.0)?;

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
    // Before it starts, so that a removal of its connection finds it here or not at all.
    let (flight, stopped) = local.flights.enter(id, target.connection());
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
        credentials: secrets.credentials,
        checkpoint: started.checkpoint,
        input: None,
        durability: request.durability,
        guard: SnapshotGuard {
            allow_all: request.allow_deletes,
            ..SnapshotGuard::default()
        },
        seed,
        recording,
        meter: Arc::clone(&meter),
        cancelled: Box::pin(interrupted_or(stopped)),
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
    if let Some(take) = take {
        take.finish(id, result.recorded);
    }
    let end = RunEnd {
        at: local.clock.now(),
        outcome: result.outcome,
        failure: result.failure,
        figures: result.figures,
    };
    drop(flight);
    finish(local, id, started.fence, end).await
}

/// Record the end of a run. One whose connection was removed meanwhile has none.
pub(super) async fn finish(local: &Local, id: RunId, fence: Fence, end: RunEnd) -> Result<Run> {
    match local.store.finish_run(id, fence, end).await {
        Err(StoreError::Fenced { .. }) => {
            let message = format!(
                "run {id} was stopped from outside, or its connection was removed while it ran"
            );
            Err(Problem::new(Kind::Conflict, message))
        }
        finished => {
            finished?;
            Ok(local.store.run(id).await?)
        }
    }
}

/// A connection's secrets, opened for one run.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) credentials: Option<Credentials>,
    /// What no recording may hold.
    texts: Vec<Secret>,
}

pub(super) fn secrets(
    local: &Local,
    integration: &Integration,
    connection: &Connection,
    config: &serde_json::Map<String, serde_json::Value>,
) -> Result<Secrets> {
    let manifest = &integration.current.manifest;
    let has = |name: &str| connection.secret_names.iter().any(|known| known == name);
    let Some(auth) = manifest.auth_for(has) else {
        return Ok(Secrets::default());
    };
    let mut secrets = local
        .key_ring()?
        .open(&connection.key, &connection.sealed_secrets)?;
    let credentials = Credentials::resolve(auth, &|name| secrets.get(name).cloned(), config)
        .map_err(|error| Problem::invalid(error).at(&connection.key))?;
    if let Auth::Basic { username, password } = auth {
        // A user name is no secret, and may well stand in paths and records.
        let user = secrets.remove(username);
        if let (Some(user), Some(password)) = (user, secrets.get(password)) {
            let both = format!("{}:{}", user.expose(), password.expose());
            secrets.insert(username.clone(), Secret::new(both));
        }
    }
    Ok(Secrets {
        credentials: Some(credentials),
        texts: secrets.into_values().collect(),
    })
}

pub(super) async fn load(local: &Local, integration: &Integration) -> Result<Plugin> {
    let bytes = local.store.component(integration.current.digest).await?;
    // Compiling, when the cache doesn't have it, takes up to seconds of CPU.
    tokio::task::block_in_place(|| local.runtime()?.load(&bytes).map_err(Problem::internal))
}

/// Resolves at Ctrl-C or SIGTERM, so that a run ends as cancelled rather than torn, or when the run
/// is told to stop.
pub(super) async fn interrupted_or(stopped: BoxFuture<'static, ()>) {
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
