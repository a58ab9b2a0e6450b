//! One foreground run of a sync: start it, run it, record its end.

use std::sync::Arc;
use std::time::Duration;

use tidegate_egress::{Credentials, Secret};
use tidegate_engine::cassette::Seed;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::manifest::Auth;
use tidegate_engine::run::{LogLine, NewRun, Run, RunEnd, RunId, Target, Trigger};
use tidegate_engine::{Name, SyncKey};
use tidegate_runtime::{Meter, Observer, Plugin, Recording, RunSpec};

use super::deploy::{check_config, find_sync};
use super::local::Local;
use super::{Progress, SyncRequest};
use crate::cassettes::Take;
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
        allow_deletes: request.allow_deletes,
        seed,
        recording,
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
    if let Some(take) = take {
        take.finish(id, result.recorded);
    }
    let end = RunEnd {
        at: local.clock.now(),
        outcome: result.outcome,
        failure: result.failure,
        figures: result.figures,
    };
    local.store.finish_run(id, started.fence, end).await?;
    Ok(local.store.run(id).await?)
}

/// A connection's secrets, opened for one run.
#[derive(Default)]
struct Secrets {
    credentials: Option<Credentials>,
    /// What no recording may hold.
    texts: Vec<Secret>,
}

fn secrets(
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
        .master_key()?
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
