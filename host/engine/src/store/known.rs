//! Whether a connection has a model: the one rule of all who read records.

use std::collections::BTreeSet;

use super::{Store, StoreError};
use crate::{ModelKey, Name, integration};

/// Why a model can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The connection has none of this name.
    #[error("{} has no model {}; it has: {}", model.connection, model.model, names(known))]
    Unknown {
        model: ModelKey,
        known: BTreeSet<Name>,
    },
    /// The integration or the connection is not there, or the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn names(names: &BTreeSet<Name>) -> String {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    names.join(", ")
}

/// That the connection has the model, or may get it: the manifest describes it, a sync of the connection fills it, or there
/// are records of it, whatever the manifest says now. Two reads; a third one only for a model of the last kind.
pub async fn check_model(store: &dyn Store, model: &ModelKey) -> Result<(), ModelError> {
    let key = &model.connection;
    let integration = store.integration(&key.integration).await?;
    let connection = store.connection(key).await?;
    let mut config = integration.current.config.clone();
    integration::merge(&mut config, &connection.config);
    let manifest = &integration.current.manifest;
    let described = manifest.models.iter().map(|model| model.name.clone());
    let synced = manifest.syncs_for(&config).into_iter();
    let synced = synced.flat_map(|sync| sync.models);
    let mut known: BTreeSet<Name> = described.chain(synced).collect();
    if known.contains(&model.model) {
        return Ok(());
    }
    known.extend(store.models(key).await?.into_iter().map(|(name, _)| name));
    if known.contains(&model.model) {
        return Ok(());
    }
    Err(ModelError::Unknown {
        model: model.clone(),
        known,
    })
}
