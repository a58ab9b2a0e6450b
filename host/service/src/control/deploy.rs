//! Deploying components: checks first, then one command of the store.

use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value};
use tidegate_egress::AddressPolicy;
use tidegate_engine::command;
use tidegate_engine::connection::{CONFIG_BYTES_MAX, check_size};
use tidegate_engine::grant::{GrantFlag, Grants};
use tidegate_engine::integration::{Deployment, Integration, NewDeployment};
use tidegate_engine::limits::{self, LimitValues, Limits};
use tidegate_engine::manifest::{Manifest, ResolvedSync};
use tidegate_engine::{Name, StoreError};
use tidegate_runtime::{InspectError, Inspection, RuntimeError};

use super::grants::{missing_grants, unused_grants};
use super::local::Local;
use super::schedules::ensure_all;
use super::schema::{self, Schema};
use super::signed;
use super::{DeployPlan, DeployRequest, GrantChanges};
use crate::problem::{Kind, Problem, Result};

/// What a component that can't be deployed means.
pub fn inspect_problem(error: &InspectError) -> Problem {
    let kind = match error {
        InspectError::Runtime(RuntimeError::Setup(_)) => Kind::Internal,
        _ => Kind::Plugin,
    };
    Problem::new(kind, error)
}

pub(super) async fn plan(local: &Local, request: &DeployRequest) -> Result<DeployPlan> {
    let (inspection, _plugin) = local
        .runtime()?
        .inspect(&request.component)
        .await
        .map_err(|error| inspect_problem(&error))?;
    signed::check(local, inspection.digest, request.signed.as_ref())?;
    let manifest = &inspection.manifest;
    let warnings = check_schemas(manifest).await?;
    let integration = request
        .name
        .clone()
        .unwrap_or_else(|| manifest.name.clone());
    let previous = match local.store.integration(&integration).await {
        Ok(integration) => Some(Arc::unwrap_or_clone(integration).current),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (old_grants, old_config) = previous
        .as_ref()
        .map(|p| (p.grants.clone(), p.config.clone()))
        .unwrap_or_default();
    let grants = granted(old_grants, &request.grants)?;
    check_in_flight(manifest, &grants, local.held.bytes())?;
    let config = request.grants.config.clone().unwrap_or(old_config);
    check_size("the integration's config", &config, CONFIG_BYTES_MAX).map_err(Problem::invalid)?;
    Ok(DeployPlan {
        warnings,
        missing: missing_grants(manifest, &grants),
        unused: unused_grants(manifest, &grants),
        integration,
        grants,
        config,
        previous: previous.map(|p| (p.manifest.version.to_string(), p.digest)),
        inspection,
    })
}

pub(super) async fn deploy(local: &Local, request: DeployRequest) -> Result<Integration> {
    let plan = plan(local, &request).await?;
    let digest = local.store.put_component(request.component).await?;
    if let Some(signature) = &request.signed {
        signed::keep(local, digest, signature)?;
    }
    let deployment = NewDeployment {
        integration: plan.integration,
        digest,
        manifest: plan.inspection.manifest,
        grants: plan.grants,
        config: plan.config,
        now: local.clock.now(),
    };
    deployed(local, deployment).await
}

/// Make a deployment the current one, and the schedules that it wants.
async fn deployed(local: &Local, deployment: NewDeployment) -> Result<Integration> {
    let integration = local.store.deploy(deployment).await?;
    ensure_all(local, Some(&integration.name)).await?;
    Ok(integration)
}

/// Deploy once more what an earlier deployment was.
pub(super) async fn rollback(local: &Local, name: &Name, to: Option<u32>) -> Result<Integration> {
    let integration = local.find_integration(name).await?;
    let mut earlier = integration.earlier.iter();
    let found = match to {
        None => earlier.next(),
        Some(number) => earlier.find(|deployment| deployment.number == number),
    };
    let Some(old) = found else {
        let numbers: Vec<String> = integration
            .earlier
            .iter()
            .map(|deployment| deployment.number.to_string())
            .collect();
        let current = integration.current.number;
        let message = match to {
            Some(number) if number == current => {
                format!("deployment {number} of integration {name} is the current one")
            }
            Some(number) => format!("integration {name} has no deployment {number} any more"),
            None => format!("integration {name} has no earlier deployment"),
        };
        let problem = Problem::new(Kind::Conflict, message);
        return Err(match numbers.is_empty() {
            true => problem,
            false => problem.listing("earlier deployments", numbers.iter().map(String::as_str)),
        });
    };
    // What it says of itself counts, not what came with it.
    let bytes = local.store.component(old.digest).await?;
    let manifest = inspect(local, &bytes).await?.manifest;
    signed::check(local, old.digest, None)?;
    let deployment = NewDeployment {
        integration: name.clone(),
        digest: old.digest,
        manifest,
        grants: old.grants.clone(),
        config: old.config.clone(),
        now: local.clock.now(),
    };
    deployed(local, deployment).await
}

/// Inspect a component and keep it.
pub(super) async fn put_component(local: &Local, bytes: Vec<u8>) -> Result<Inspection> {
    let inspected = local.runtime()?.inspect(&bytes).await;
    let (inspection, plugin) = inspected.map_err(|error| inspect_problem(&error))?;
    check_schemas(&inspection.manifest).await?;
    local.store.put_component(bytes).await?;
    local.plugins.put(plugin);
    Ok(inspection)
}

/// What a component says of itself.
pub(super) async fn inspect(local: &Local, bytes: &[u8]) -> Result<Inspection> {
    let inspected = local.runtime()?.inspect(bytes).await;
    let (inspection, _) = inspected.map_err(|error| inspect_problem(&error))?;
    Ok(inspection)
}

/// What nobody may be granted, whichever way.
pub fn check_grants(grants: &Grants) -> Result<()> {
    grants.private.iter().try_for_each(check_private)?;
    limits::check(&grants.limits).map_err(Problem::invalid)
}

fn granted(old: Grants, changes: &GrantChanges) -> Result<Grants> {
    let mut grants = old;
    if let Some(hosts) = &changes.hosts {
        grants.hosts.clone_from(hosts);
    }
    if let Some(private) = &changes.private {
        grants.private.clone_from(private);
    }
    if let Some(token_hosts) = &changes.token_hosts {
        grants.token_hosts.clone_from(token_hosts);
    }
    if let Some(feeds) = &changes.feeds {
        grants.feeds.clone_from(feeds);
    }
    if let Some(metadata_write) = changes.metadata_write {
        grants.metadata_write = metadata_write;
    }
    if let Some(auto_start) = changes.auto_start {
        grants.auto_start = auto_start;
    }
    if let Some(rate_limit) = changes.rate_limit {
        grants.rate_limit = rate_limit;
    }
    if let Some(values) = &changes.limits {
        grants.limits.clone_from(values);
    }
    check_grants(&grants)?;
    Ok(grants)
}

/// What a manifest requests must fit what all runs together may hold, or its runs would wait for room
/// that never comes. What an operator raises is theirs to know.
fn check_in_flight(manifest: &Manifest, grants: &Grants, room: u64) -> Result<()> {
    let at_once = |limits: &Limits| {
        let body = limits.http_response_bytes.max(limits.http_request_bytes);
        limits.http_in_flight.saturating_mul(body)
    };
    let requested = &manifest.capabilities.limits;
    let asked = Limits::resolve(requested, &LimitValues::new());
    let held = Limits::resolve(requested, &grants.limits);
    if at_once(&asked) <= room || at_once(&held) <= room {
        return Ok(());
    }
    let body = held.http_response_bytes.max(held.http_request_bytes).max(1);
    let (requests, most) = (held.http_in_flight, room / body);
    let message = format!(
        "the manifest requests more at once than the limit runs_held_bytes = {room} has room for: \
         http_in_flight = {requests} times http_response_bytes = {} and http_request_bytes = {}",
        held.http_response_bytes, held.http_request_bytes
    );
    let wide = command!("serve --runs-held-bytes {bytes}", at_once(&held));
    let hint = match most {
        // One body is more than the room.
        0 => format!("deploy it with smaller bodies, or raise the room with: {wide}"),
        most => format!(
            "deploy it with {}, or with smaller bodies, or raise the room with: {wide}",
            GrantFlag::Limit("http_in_flight".to_owned(), most)
        ),
    };
    Err(Problem::new(Kind::Plugin, message).hint(hint))
}

/// A range so wide that it opens the whole address space is a mistake.
fn check_private(range: &IpNet) -> Result<()> {
    if range.prefix_len() == 0 {
        return Err(Problem::invalid(format!(
            "--allow-private {range} would open every address; name the range that the plugin needs, such as 10.1.0.0/16"
        )));
    }
    check_opens(range).map_err(|why| Problem::invalid(format!("--allow-private {why}")))
}

/// Whether a range has any address that a grant can open: others are open anyway, or never.
pub fn check_opens(range: &IpNet) -> std::result::Result<(), String> {
    let private = AddressPolicy::private_ranges();
    if private
        .iter()
        .any(|open| open.contains(range) || range.contains(open))
    {
        return Ok(());
    }
    let ranges: Vec<String> = private.iter().map(ToString::to_string).collect();
    Err(format!(
        "{range} would have no effect: only private and loopback ranges can be opened, which are {}; public \
         addresses are open, and where clouds keep their secrets never is",
        ranges.join(", ")
    ))
}

/// Check that all schemas of a manifest are such, where nobody is served meanwhile.
pub(super) async fn check_schemas(manifest: &Manifest) -> Result<Vec<String>> {
    let manifest = manifest.clone();
    let checked = tokio::task::spawn_blocking(move || schema::check_manifest(&manifest));
    checked.await.map_err(Problem::internal)?
}

/// The manifest's schema of configs, compiled once for many of them.
pub(super) struct ConfigSchema<'a> {
    manifest: &'a Manifest,
    schema: Arc<Schema>,
}

impl<'a> ConfigSchema<'a> {
    pub(super) async fn of(local: &Local, integration: &'a Integration) -> Result<Self> {
        let Deployment {
            digest, manifest, ..
        } = &integration.current;
        let schema = local
            .schemas
            .get(*digest, "config".to_owned(), &manifest.config);
        Ok(Self {
            manifest,
            schema: schema.await?,
        })
    }

    /// Every violation, with its path.
    pub(super) async fn check(&self, config: &Map<String, Value>) -> Result<()> {
        let errors = self.schema.violations(Value::Object(config.clone())).await;
        let bad_keys = self.manifest.bad_each_keys(config);
        let bad_keys = bad_keys
            .iter()
            .map(|key| format!("{key:?} can't name a sync or action"));
        let errors: Vec<String> = errors.into_iter().chain(bad_keys).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Problem::invalid(format!(
            "the config doesn't fit the plugin {}:\n  {}",
            self.manifest.name,
            errors.join("\n  ")
        )))
    }
}

/// The sync of this name, or a problem that lists those there are.
pub(super) fn find_sync(
    integration: &Integration,
    config: &Map<String, Value>,
    sync: &Name,
) -> Result<ResolvedSync> {
    let syncs = integration.current.manifest.syncs_for(config);
    if let Some(found) = syncs.iter().find(|s| s.name == *sync) {
        return Ok(found.clone());
    }
    let message = format!(
        "integration {} has no sync {:?}",
        integration.name,
        sync.as_str()
    );
    let problem = Problem::not_found(message);
    let actions = integration.current.manifest.actions_for(config);
    Err(if actions.iter().any(|action| action.name == *sync) {
        problem.advise(
            "it is an action",
            command!(
                "invoke {integration}/{action} -c CONNECTION",
                integration.name,
                sync
            ),
        )
    } else if syncs.is_empty() {
        problem.hint("it has none for this connection; is its config missing?")
    } else {
        problem.listing("syncs", syncs.iter().map(|s| s.name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_out_that_is_advised_is_one() {
        const MIB: u64 = 1 << 20;
        // (http_in_flight, http_request_bytes, http_response_bytes, room)
        for (in_flight, request, response, room) in [
            (64, 8 * MIB, 64 * MIB, 512 * MIB),
            // Requests are the larger ones.
            (64, 64 * MIB, MIB, 512 * MIB),
            (64, 64 * MIB, 64 * MIB, 64 * MIB),
            (64, 64 * MIB, 64 * MIB, 63 * MIB),
        ] {
            let manifest = json!({
                "manifest": 1, "name": "big", "version": "1.0.0",
                "capabilities": {"limits": {
                    "http_in_flight": in_flight, "http_request_bytes": request, "http_response_bytes": response,
                }},
            });
            let manifest = Manifest::parse(&manifest.to_string()).unwrap();
            let refused = check_in_flight(&manifest, &Grants::default(), room).unwrap_err();
            let words = shlex::split(&refused.hint.unwrap()).unwrap();
            let after = |option: &str| {
                let at = words.iter().position(|word| word == option)?;
                Some(words[at + 1].trim_end_matches(',').to_owned())
            };
            let wide = after("--runs-held-bytes").unwrap().parse().unwrap();
            check_in_flight(&manifest, &Grants::default(), wide).unwrap();
            let Some(limit) = after("--limit") else {
                assert!(room < 64 * MIB, "{words:?}");
                continue;
            };
            let (name, value) = limit.split_once('=').unwrap();
            let grants = Grants {
                limits: LimitValues::from([(name.to_owned(), value.parse().unwrap())]),
                ..Grants::default()
            };
            check_in_flight(&manifest, &grants, room).unwrap();
        }
    }
}
