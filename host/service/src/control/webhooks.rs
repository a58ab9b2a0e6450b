//! Webhook endpoints: adding, changing and removing them, their secrets, and what was delivered.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use tidegate_engine::command;
use tidegate_engine::store::{DeliveryFilter, Replay, Replayed};
use tidegate_engine::webhook::{
    self, Attempt, Delivery, Disabled, Endpoint, EndpointId, Event, EventId, EventType,
    SealedSecret, SigningSecret, WhyDisabled,
};
use tidegate_engine::{ConnectionName, Name, StoreError, Timestamp};
use url::Url;

use super::keys::ring_to_seal;
use super::local::Local;
use super::wire_secrets;
use crate::problem::{Kind, Problem, Result};
use crate::secrets::random;
use crate::webhooks::{self, Alarm, Receivers, Worker, new_secret, open_secrets, seal_secret};

/// How long a replaced secret still signs beside the new one.
const OLD_SECRET_MS: u64 = 24 * 60 * 60 * 1000;
/// How often a change is repeated that met another one.
const ATTEMPTS: usize = 100;

/// Which events an endpoint gets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EndpointFilter {
    /// Of these types; empty is all.
    pub events: BTreeSet<EventType>,
    pub integration: Option<Name>,
    /// A connection of `integration`.
    pub connection: Option<ConnectionName>,
}

/// An endpoint to add.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewEndpoint {
    pub url: Url,
    pub description: String,
    pub filter: EndpointFilter,
}

/// What to change of an endpoint; what is not named stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EndpointUpdate {
    pub url: Option<Url>,
    pub description: Option<String>,
    /// Of these types; empty is all.
    pub events: Option<BTreeSet<EventType>>,
    /// `Some(None)` is all.
    #[serde(with = "wire_secrets::twice")]
    pub integration: Option<Option<Name>>,
    /// A connection of the integration; `Some(None)` is all.
    #[serde(with = "wire_secrets::twice")]
    pub connection: Option<Option<ConnectionName>>,
    /// Enabling begins a new count of failures; what waits is delivered.
    pub enabled: Option<bool>,
}

/// An endpoint with a secret that was just made: it is never shown again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointSecret {
    pub endpoint: Endpoint,
    /// `whsec_…`
    pub secret: String,
}

/// Deliveries to make again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ReplayRequest {
    pub endpoint: EndpointId,
    pub since: Timestamp,
    /// See [`Replay::all`].
    pub all: bool,
    /// Go on after this event, where an earlier one stopped.
    pub after: Option<u64>,
}

pub(super) async fn add(local: &Local, new: NewEndpoint) -> Result<EndpointSecret> {
    let now = local.clock.now();
    let id = EndpointId::from_parts(now, super::ids::next(now)?);
    let _in_use = local.key_use.read().await;
    let (secret, sealed) = seal_new(local, id, now).await?;
    let endpoint = Endpoint {
        id,
        url: new.url,
        description: new.description,
        events: new.filter.events,
        integration: new.filter.integration,
        connection: new.filter.connection,
        secrets: vec![sealed],
        disabled: None,
        first_failure_at: None,
        probe_at: None,
        created_at: now,
        revision: 0,
    };
    check(local, &endpoint).await?;
    local.store.add_endpoint(endpoint.clone()).await?;
    Ok(EndpointSecret { endpoint, secret })
}

/// A new secret in clear, and sealed. The caller holds `key_use`.
async fn seal_new(local: &Local, id: EndpointId, now: Timestamp) -> Result<(String, SealedSecret)> {
    let ring = ring_to_seal(local).await?;
    let secret: SigningSecret = new_secret()?;
    let sealed = SealedSecret {
        sealed: seal_secret(&ring, id, &secret)?,
        created_at: now,
        expires_at: None,
    };
    Ok((secret.text(), sealed))
}

async fn check(local: &Local, endpoint: &Endpoint) -> Result<()> {
    webhook::check(endpoint).map_err(|error| Problem::invalid(error).at("endpoint"))?;
    if let Some(integration) = &endpoint.integration {
        local.find_integration(integration).await?;
    }
    Ok(())
}

pub(super) async fn find(local: &Local, id: EndpointId) -> Result<Endpoint> {
    let found = local.store.endpoint(id).await.map_err(Problem::from);
    found.map_err(|problem| problem.advise("list them with", command!("webhooks list")))
}

/// Change an endpoint, again if somebody else was quicker.
async fn change(
    local: &Local,
    id: EndpointId,
    change: impl Fn(&mut Endpoint) -> Result<()>,
) -> Result<Endpoint> {
    for _ in 0..ATTEMPTS {
        let mut endpoint = find(local, id).await?;
        change(&mut endpoint)?;
        check(local, &endpoint).await?;
        if local.store.update_endpoint(endpoint.clone()).await? {
            endpoint.revision += 1;
            return Ok(endpoint);
        }
    }
    let message = format!("endpoint {id} is being changed all the time by others");
    Err(Problem::new(Kind::Conflict, message).hint("try again"))
}

pub(super) async fn update_with(
    local: &Local,
    id: EndpointId,
    update: EndpointUpdate,
) -> Result<Endpoint> {
    let now = local.clock.now();
    change(local, id, |endpoint| {
        if let Some(url) = update.url.as_ref().filter(|url| **url != endpoint.url) {
            endpoint.url.clone_from(url);
            // What has failed was another one.
            endpoint.first_failure_at = None;
        }
        if let Some(description) = &update.description {
            endpoint.description.clone_from(description);
        }
        if let Some(events) = &update.events {
            endpoint.events.clone_from(events);
        }
        if let Some(integration) = &update.integration {
            endpoint.integration.clone_from(integration);
        }
        if let Some(connection) = &update.connection {
            endpoint.connection.clone_from(connection);
        }
        match update.enabled {
            Some(true) => {
                endpoint.disabled = None;
                endpoint.first_failure_at = None;
            }
            Some(false) if endpoint.disabled.is_none() => {
                let why = WhyDisabled::Operator;
                endpoint.disabled = Some(Disabled { at: now, why });
            }
            _ => {}
        }
        Ok(())
    })
    .await
}

/// A new secret; the old ones sign beside it for a day, or with `at_once` no more.
pub(super) async fn rotate_secret(
    local: &Local,
    id: EndpointId,
    at_once: bool,
) -> Result<EndpointSecret> {
    let now = local.clock.now();
    let _in_use = local.key_use.read().await;
    find(local, id).await?;
    let (secret, sealed) = seal_new(local, id, now).await?;
    let endpoint = change(local, id, |endpoint| {
        let old = std::mem::take(&mut endpoint.secrets);
        let valid = old
            .into_iter()
            .filter(|secret| !at_once && secret.expires_at.is_none_or(|at| at > now));
        let expiring = valid.map(|secret| SealedSecret {
            expires_at: secret.expires_at.or(Some(Timestamp(now.0 + OLD_SECRET_MS))),
            ..secret
        });
        endpoint.secrets = std::iter::once(sealed.clone()).chain(expiring).collect();
        Ok(())
    })
    .await?;
    Ok(EndpointSecret { endpoint, secret })
}

pub(super) async fn deliveries(local: &Local, filter: DeliveryFilter) -> Result<Vec<Delivery>> {
    find(local, filter.endpoint).await?;
    Ok(local.store.deliveries(filter).await?)
}

pub(super) async fn replay(local: &Local, request: ReplayRequest) -> Result<Replayed> {
    let endpoint = find(local, request.endpoint).await?;
    if endpoint.disabled.is_some() {
        let message = format!(
            "endpoint {} is disabled: nothing is delivered to it",
            endpoint.id
        );
        let enable = command!("webhooks update {endpoint} --enable", endpoint.id);
        return Err(Problem::new(Kind::Conflict, message).advise("enable it first", enable));
    }
    let replay = Replay {
        endpoint: request.endpoint,
        since: request.since,
        all: request.all,
        after: request.after,
        limit: usize::try_from(tidegate_engine::limits::WEBHOOK_REPLAY).unwrap_or(usize::MAX),
        now: local.clock.now(),
    };
    Ok(local.store.replay_deliveries(replay).await?)
}

/// Send an event of the type that the endpoint wants first, about nothing that happened, at once and
/// past the queue. It is in no log. If the endpoint takes it, it does not count as failing any more.
pub(super) async fn test(local: &Local, id: EndpointId) -> Result<Attempt> {
    let endpoint = find(local, id).await?;
    let now = local.clock.now();
    let wanted = endpoint.events.first().copied();
    let mut chance = [0; 16];
    random(&mut chance)?;
    let event = Event {
        seq: 0,
        id: EventId::from_parts(now, u128::from_be_bytes(chance)),
        kind: wanted.unwrap_or(EventType::RunFinished),
        at: now,
        stream: None,
        data: r#"{"test":true}"#.to_owned(),
    };
    let secrets = open_secrets(&local.data, &local.key_use, &*local.store, &endpoint, now).await?;
    let receivers = receivers(local)?;
    let attempt = webhooks::attempt(&receivers, &local.clock, &endpoint, &event, &secrets).await;
    if attempt.succeeded() && endpoint.first_failure_at.is_some() {
        // It is back: what waits for it is brought forward.
        change(local, id, |endpoint| {
            endpoint.first_failure_at = None;
            Ok(())
        })
        .await?;
    }
    Ok(attempt)
}

fn receivers(local: &Local) -> Result<Receivers> {
    let gate = local.runtime()?.gate().clone();
    Ok(Receivers::new(gate, local.webhook_private.clone()))
}

impl Local {
    /// Let webhooks go to these private ranges, too, and in clear there. For `serve`, before it begins.
    pub fn allow_webhooks_to(&mut self, private: Vec<ipnet::IpNet>) {
        self.webhook_private = private;
    }

    /// Where the server listens: neither plugins nor webhooks may ask there, whatever is granted. For `serve`,
    /// once, before anything runs.
    pub fn listens_at(&self, own: Vec<std::net::SocketAddr>) {
        // Nobody else says so.
        let _ = self.own_addresses.set(own);
    }

    /// Deliver webhooks until `stop`; returns when what is on its way has ended, 20 s later at most. An
    /// error means that the store failed.
    pub async fn deliver_webhooks(&self, stop: impl Future<Output = ()>) -> Result<()> {
        let worker = Worker {
            store: std::sync::Arc::clone(&self.store),
            receivers: receivers(self)?,
            clock: self.clock.clone(),
            alarm: Alarm::of(self.clock.clone()),
            data: self.data.clone(),
            key_use: std::sync::Arc::clone(&self.key_use),
        };
        let done = std::sync::Arc::new(worker).run(stop).await;
        match done {
            // It was closed under the worker, which is how a server ends, too.
            Err(problem) if problem.message.contains("the store is closed") => Ok(()),
            done => done,
        }
    }
}

/// An endpoint that is there no more is what was wanted.
pub(super) async fn remove(local: &Local, id: EndpointId) -> Result<()> {
    match local.store.remove_endpoint(id).await {
        Err(error @ StoreError::NotFound { .. }) => {
            Err(Problem::from(error).advise("list them with", command!("webhooks list")))
        }
        done => Ok(done?),
    }
}
