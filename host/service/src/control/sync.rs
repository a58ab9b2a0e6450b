//! One foreground run of a sync.

use std::sync::Arc;

use tidegate_engine::run::{Run, Target};
use tidegate_engine::{Name, SyncKey};

use super::deploy::find_sync;
use super::launch::{self, RunRequest, RunSite};
use super::local::Local;
use super::{Progress, SyncRequest};
use crate::problem::Result;

pub(super) async fn run(
    local: &Local,
    request: SyncRequest,
    progress: Arc<dyn Progress>,
) -> Result<Run> {
    let site = RunSite::of(local, &request.connection).await?;
    let models = find_sync(&site.integration, &site.config, &request.sync)?.models;
    let launch = RunRequest {
        target: Target::Sync(SyncKey {
            connection: request.connection,
            sync: request.sync,
            variant: Name::base_variant(),
        }),
        models,
        reset: request.reset || request.empty,
        empty: request.empty,
        allow_deletes: request.allow_deletes,
        durability: request.durability,
        input: None,
        key: None,
        output_check: None,
        record: request.record,
    };
    Ok(launch::run(local, site, launch, progress).await?.run)
}
