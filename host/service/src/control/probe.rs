//! The check of a connection: the plugin's event `connection-check`, as a run.

use std::sync::Arc;

use tidegate_engine::ConnectionKey;
use tidegate_engine::run::Run;

use super::SilentObserver;
use super::events;
use super::launch::{self, RunSite};
use super::local::Local;
use crate::problem::Result;

const EVENT: &str = "connection-check";

pub(super) async fn run(local: &Local, key: &ConnectionKey) -> Result<Run> {
    let site = RunSite::of(local, key).await?;
    let launch = events::launch(key, EVENT);
    Ok(launch::run(local, site, launch, Arc::new(SilentObserver))
        .await?
        .run)
}
