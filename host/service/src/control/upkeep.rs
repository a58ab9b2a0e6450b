//! Looking after the data: pruning, dropping, exports and imports.

use futures::future::BoxFuture;
use std::io::{BufRead, Write};
use std::time::Duration;

use tidegate_engine::transfer::ImportId;
use tidegate_engine::upkeep::{Dropped, Pruned, Scope};
use tidegate_engine::{ConnectionKey, ModelKey, StoreError, Timestamp};

use tidegate_store_sled::Rewritten;

use super::Control;
use super::events;
use super::imported::Imported;
use super::local::Local;
use crate::cassettes;
use crate::problem::{Problem, Result};
use crate::transfer::{self, ExportScope, ImportReport, ImportTerms, Totals};

pub(super) async fn prune(local: &Local, model: &ModelKey, age: Duration) -> Result<Pruned> {
    local.known_model(model).await?;
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let before = Timestamp(local.clock.now().0.saturating_sub(age));
    Ok(local.store.prune(model, before).await?)
}

pub(super) async fn drop_scope(local: &Local, scope: &Scope) -> Result<Dropped> {
    match scope {
        Scope::Integration(name) => drop(local.find_integration(name).await?),
        Scope::Connection(key) => drop(local.find_connection(key).await?),
        Scope::Model(key) => drop(local.known_model(key).await?),
    }
    events::dropped(local, scope).await?;
    match local.store.drop_scope(scope).await {
        Err(StoreError::NotFound { what: "model", .. }) => Err(no_records(local, scope).await?),
        dropped => {
            let dropped = dropped?;
            forget_cassettes(local).await?;
            Ok(dropped)
        }
    }
}

/// Remove the cassettes of connections that are gone: they hold what customers' APIs answered. Done
/// after each removal, and at each opening for one that a crash cut short.
pub(super) async fn forget_cassettes(local: &Local) -> Result<()> {
    for ring in cassettes::rings(&local.data)? {
        let found = local.store.connection(ring.key()).await;
        // Only what is surely gone: damaged rows are no removal.
        if matches!(found, Err(StoreError::NotFound { .. })) {
            ring.erase()?;
        }
    }
    Ok(())
}

/// The model is one that the integration could have records of, and has none.
async fn no_records(local: &Local, scope: &Scope) -> Result<Problem> {
    let problem = Problem::not_found(format!("{scope} has no records"));
    let Scope::Model(ModelKey { connection, .. }) = scope else {
        return Ok(problem);
    };
    let models = local.store.models(connection).await?;
    Ok(match models.is_empty() {
        true => problem,
        false => problem.listing(
            "models that have some",
            models.iter().map(|(name, _)| name.as_str()),
        ),
    })
}

impl Local {
    /// Write the database anew, as small as what is in it, and let go of the data directory.
    pub fn rewrite(self) -> BoxFuture<'static, Result<Rewritten>> {
        Box::pin(async move {
            self.close().await?;
            let Self {
                data,
                store,
                tokens,
                ..
            } = self;
            // Both hold the store, and with it the directory's lock.
            drop((tokens, store));
            let rewritten = tokio::task::spawn_blocking(move || {
                tidegate_store_sled::rewrite(&data, &tidegate_store_sled::Options::default())
            });
            Ok(rewritten.await.map_err(Problem::internal)??)
        })
    }
}

pub(super) async fn export(
    local: &Local,
    scope: &ExportScope,
    out: &mut (dyn Write + Send),
) -> Result<Totals> {
    match scope {
        ExportScope::All {} => {}
        ExportScope::Integration { integration } => {
            local.find_integration(integration).await?;
        }
        ExportScope::Connection(key) => {
            local.find_connection(key).await?;
        }
        ExportScope::Model {
            integration,
            connection,
            model,
        } => {
            let key = ConnectionKey {
                integration: integration.clone(),
                connection: connection.clone(),
            };
            local.known_model(&key.model(model.clone())).await?;
        }
    }
    transfer::export(&*local.store, scope, local.clock.now(), out).await
}

pub(super) async fn import(
    local: &Local,
    input: &mut (dyn BufRead + Send),
    terms: &ImportTerms,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<ImportReport> {
    let mut id = [0; 16];
    crate::secrets::random(&mut id)?;
    let id = ImportId(u128::from_le_bytes(id));
    let checks = Imported {
        local,
        signed_only: terms.signed_only,
    };
    let store = &*local.store;
    let brought = transfer::import(store, &checks, &terms.grants, id, input, progress).await?;
    // As when its connections had been added here.
    super::schedules::ensure_all(local, None).await?;
    Ok(brought)
}
