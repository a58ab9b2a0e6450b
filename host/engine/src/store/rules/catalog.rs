//! What becomes of integrations, connections and API keys.

use serde_json::{Map, Value};

use crate::Name;
use crate::api_key::ApiKey;
use crate::error::StoreError;
use crate::health::{Health, Hold};
use crate::integration::{Connection, Deployment, Integration, NewDeployment};
use crate::limits::API_KEYS;
use crate::metadata;
use crate::run::{RunEnd, Target};

/// A connection after the end of a run of it, whose job goes on or not; `None` if that changes nothing.
#[must_use]
pub fn connection_after(
    stored: &Connection,
    target: &Target,
    end: &RunEnd,
    goes_on: bool,
) -> Option<Connection> {
    let health = stored.health.after(target, end, goes_on)?;
    Some(with_health(stored, health))
}

/// A connection after a deployment of `integration`: nothing of its own is held any more, and of others nothing
/// that waits for config or grants, as they may read its feeds. `None` if that changes nothing.
#[must_use]
pub fn connection_deployed(stored: &Connection, integration: &Name) -> Option<Connection> {
    let hold = match stored.key.integration == *integration {
        true => None,
        false => Some(Hold::ConfigFailed),
    };
    let health = stored.health.without(hold)?;
    Some(with_health(stored, health))
}

/// It is a change like others: an update that has not seen it is made again on top.
fn with_health(stored: &Connection, health: Health) -> Connection {
    Connection {
        health,
        revision: stored.revision.wrapping_add(1),
        ..stored.clone()
    }
}

/// What an integration is after deploying `new` over `old`. The same deployment again, as when its
/// answer was lost, changes nothing.
#[must_use]
pub fn deployed(old: Option<&Integration>, new: &NewDeployment) -> Integration {
    let deployment = |number| Deployment {
        number,
        digest: new.digest,
        manifest: new.manifest.clone(),
        grants: new.grants.clone(),
        config: new.config.clone(),
        deployed_at: new.now,
    };
    let Some(old) = old else {
        return Integration {
            name: new.integration.clone(),
            current: deployment(1),
            earlier: vec![],
        };
    };
    if deployment(old.current.number) == old.current {
        return old.clone();
    }
    let mut earlier = vec![old.current.clone()];
    earlier.extend(old.earlier.iter().take(Integration::KEPT - 1).cloned());
    Integration {
        name: old.name.clone(),
        current: deployment(old.current.number + 1),
        earlier,
    }
}

/// The metadata of `connection` with `patch` merged in, if it is not too long then.
pub fn merged_metadata(
    connection: &Connection,
    patch: &Map<String, Value>,
    bytes_max: usize,
) -> Result<Map<String, Value>, StoreError> {
    Ok(metadata::merged(&connection.metadata, patch, bytes_max)?)
}

/// Whether `key` is to be kept, given what its id stands for and how many keys there are; `false` if it
/// is there just so.
pub fn is_new_api_key(
    stored: Option<&ApiKey>,
    key: &ApiKey,
    count: usize,
) -> Result<bool, StoreError> {
    match stored {
        Some(stored) if stored == key => Ok(false),
        Some(_) => Err(StoreError::Exists {
            what: "API key",
            name: key.id.to_string(),
        }),
        None if count as u64 >= API_KEYS => Err(StoreError::Full {
            what: "API keys",
            limit: "api_keys",
            most: API_KEYS,
        }),
        None => Ok(true),
    }
}

/// Whether there is room for another request of an API key that has so many.
pub fn check_request_room(requests: u64, most: u64) -> Result<(), StoreError> {
    if requests < most {
        return Ok(());
    }
    Err(StoreError::Full {
        what: "requests under idempotency keys of the last 24 hours, of this API key",
        limit: "api_idempotency_keys",
        most,
    })
}
