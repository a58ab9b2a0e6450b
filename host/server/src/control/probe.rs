//! The check of a connection: the plugin's event `connection-check`, as a run.

use std::sync::Arc;

use tidegate_engine::ConnectionKey;
use tidegate_engine::cassette::Seed;
use tidegate_engine::run::{LogLine, NewRun, Run, RunEnd, RunId, Target, Trigger};
use tidegate_engine::store::{Durability, SnapshotGuard};
use tidegate_runtime::{Meter, Observer, RunSpec};

use super::deploy::check_config;
use super::local::Local;
use super::sync::{finish, interrupted_or, load, secrets};
use crate::problem::Result;

const EVENT: &str = "connection-check";

/// Nobody watches: its log is in the store.
struct Quiet;

impl Observer for Quiet {
    fn log(&self, _: &LogLine) {}
}

pub(super) async fn run(local: &Local, key: &ConnectionKey) -> Result<Run> {
    let integration = local.find_integration(&key.integration).await?;
    let connection = local.find_connection(key).await?;
    let config = Local::config(&integration, &connection);
    check_config(&integration.current.manifest, &config)?;
    let secrets = secrets(local, &integration, &connection, &config)?;
    let plugin = load(local, &integration).await?;
    let mut seed = Seed([0; 32]);
    crate::secrets::random(&mut seed.0)?;
    let mut random = [0; 16];
    crate::secrets::random(&mut random)?;

    let now = local.clock.now();
    let id = RunId::from_parts(now, u128::from_be_bytes(random));
    let target = Target::Event {
        connection: key.clone(),
        event: EVENT.to_owned(),
    };
    let new_run = NewRun {
        id,
        target: target.clone(),
        plugin: plugin.digest(),
        plugin_version: integration.current.manifest.version.to_string(),
        trigger: Trigger::Manual,
        attempt: 1,
        reset: false,
        now,
    };
    let (_flight, stopped) = local.flights.enter(id, key);
    let started = local.store.start_run(new_run).await?;
    let spec = RunSpec {
        run: id,
        fence: started.fence,
        target,
        trigger: Trigger::Manual,
        attempt: 1,
        deployment: integration.current,
        connection,
        config,
        // A check reads and writes no records.
        models: Vec::new(),
        credentials: secrets.credentials,
        checkpoint: None,
        input: Some("{}".to_owned()),
        durability: Durability::Durable,
        guard: SnapshotGuard::default(),
        seed,
        recording: None,
        meter: Arc::new(Meter::default()),
        cancelled: Box::pin(interrupted_or(stopped)),
    };
    let result = local
        .runtime()?
        .run(&plugin, spec, Arc::clone(&local.store), Arc::new(Quiet))
        .await;
    let end = RunEnd {
        at: local.clock.now(),
        outcome: result.outcome,
        failure: result.failure,
        figures: result.figures,
    };
    finish(local, id, started.fence, end).await
}
