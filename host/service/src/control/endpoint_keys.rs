//! Webhook endpoints' signing secrets under the master keys: counted, probed and re-wrapped.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_engine::webhook::{Endpoint, EndpointId};

use super::local::Local;
use crate::problem::{Problem, Result};
use crate::secrets::{KeyId, KeyRing, MasterKey, UnsealError, key_of, probe, rewrap};

/// What is sealed under what.
#[derive(Debug, Default)]
pub(super) struct EndpointSurvey {
    /// Endpoints with a secret under the key.
    pub(super) counts: BTreeMap<Option<KeyId>, u64>,
    pub(super) unreadable: Vec<(EndpointId, UnsealError)>,
}

impl EndpointSurvey {
    pub(super) async fn of(local: &Local, keys: &[&MasterKey]) -> Result<Self> {
        let mut survey = Self::default();
        for endpoint in local.store.endpoints().await? {
            let used: BTreeSet<Option<KeyId>> = endpoint
                .secrets
                .iter()
                .map(|secret| key_of(&secret.sealed))
                .collect();
            for key in used {
                *survey.counts.entry(key).or_default() += 1;
            }
            let mut probed = endpoint
                .secrets
                .iter()
                .map(|secret| probe(keys, endpoint.id, &secret.sealed));
            if let Some(unopened) = probed.find_map(std::result::Result::err) {
                survey.unreadable.push((endpoint.id, unopened));
            }
        }
        Ok(survey)
    }
}

/// Whether one of the keys opens one of the endpoints' secrets: `None` when there are none, or only
/// damaged ones.
pub(super) async fn opens_one(
    local: &Local,
    ring: &KeyRing,
) -> Result<Option<std::result::Result<(), Problem>>> {
    let keys = ring.keys();
    let mut refused = None;
    for endpoint in local.store.endpoints().await? {
        for secret in &endpoint.secrets {
            match probe(&keys, endpoint.id, &secret.sealed) {
                Ok(()) => return Ok(Some(Ok(()))),
                // Says nothing against the key.
                Err(UnsealError::Damaged) => {}
                Err(unopened) => {
                    refused.get_or_insert_with(|| ring.problem(endpoint.id, unopened));
                }
            }
        }
    }
    Ok(refused.map(Err))
}

/// One pass over all secrets that are not under `new`: how many endpoints there were to re-wrap, and
/// how many were.
pub(super) async fn rewrap_all(
    local: &Local,
    ring: &KeyRing,
    new: &MasterKey,
) -> Result<(u64, u64)> {
    let keys = ring.keys();
    let mut counts = (0, 0);
    for endpoint in local.store.endpoints().await? {
        let mut update: Endpoint = endpoint.clone();
        for secret in &mut update.secrets {
            if key_of(&secret.sealed) != Some(new.id())
                // What can't be opened was refused or is to be left.
                && let Ok(sealed) = rewrap(&keys, new, endpoint.id, &secret.sealed)?
            {
                secret.sealed = sealed;
            }
        }
        if update != endpoint {
            // One that was changed meanwhile is looked at again in the next pass.
            counts.0 += 1;
            counts.1 += u64::from(local.store.update_endpoint(update).await?);
        }
    }
    Ok(counts)
}
