//! The syncs of a connection: what they write, how far they have read, and their last run.

use serde::{Deserialize, Serialize};
use tidegate_engine::run::Run;
use tidegate_engine::store::RunFilter;
use tidegate_engine::{ConnectionKey, Name};

use super::local::Local;
use crate::problem::Result;

/// Runs of a connection that are looked at for the last one of each sync.
const RUNS_SEEN: usize = 200;

/// A sync of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncStatus {
    pub sync: Name,
    /// The models that it writes.
    pub models: Vec<Name>,
    /// By variant, JSON text.
    pub checkpoints: Vec<(Name, String)>,
    /// Among the connection's last runs.
    pub last_run: Option<Run>,
}

pub(super) async fn list(local: &Local, key: &ConnectionKey) -> Result<Vec<SyncStatus>> {
    let connection = local.find_connection(key).await?;
    let integration = local.find_integration(&key.integration).await?;
    let config = Local::config(&integration, &connection);
    let checkpoints = local.store.checkpoints(key).await?;
    let filter = RunFilter {
        connection: Some(key.clone()),
        limit: RUNS_SEEN,
        ..RunFilter::default()
    };
    let runs = local.store.runs(filter).await?;
    let manifest = &integration.current.manifest;
    let syncs = manifest.syncs_for(&config).into_iter();
    let status = syncs.map(|sync| {
        let own = checkpoints.iter().filter(|(key, _)| key.sync == sync.name);
        let is_own =
            |run: &&Run| run.target.kind() == "sync" && run.target.name() == sync.name.as_str();
        SyncStatus {
            checkpoints: own
                .map(|(key, checkpoint)| (key.variant.clone(), checkpoint.clone()))
                .collect(),
            last_run: runs.iter().find(is_own).cloned(),
            sync: sync.name,
            models: sync.models,
        }
    });
    Ok(status.collect())
}
