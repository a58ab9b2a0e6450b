//! The check of a connection: the plugin's event `connection-check`, as a run.

use std::sync::Arc;

use tidegate_engine::ConnectionKey;
use tidegate_engine::run::{Run, Target};
use tidegate_engine::store::Durability;

use super::Quiet;
use super::launch::{self, Launch, Site};
use super::local::Local;
use crate::problem::Result;

const EVENT: &str = "connection-check";

pub(super) async fn run(local: &Local, key: &ConnectionKey) -> Result<Run> {
    let site = Site::of(local, key).await?;
    let launch = Launch {
        target: Target::Event {
            connection: key.clone(),
            event: EVENT.to_owned(),
        },
        // A check reads and writes no records.
        models: Vec::new(),
        reset: false,
        empty: false,
        allow_deletes: false,
        durability: Durability::Durable,
        input: Some("{}".to_owned()),
        key: None,
        output_check: None,
        record: None,
    };
    Ok(launch::run(local, site, launch, Arc::new(Quiet)).await?.run)
}
