//! Webhooks: endpoints, what is due, what came of it, and the log.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::DeliveryFilter;
use crate::Timestamp;
use crate::error::StoreError;
use crate::webhook::{
    self, Attempt, Delivery, DeliveryState, Endpoint, EndpointHealth, EndpointId, Event, Waiting,
};

/// Which deliveries to take up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueDeliveries {
    pub now: Timestamp,
    /// Those that are on their way: they stay due until they are settled.
    pub in_flight: Vec<(EndpointId, u64)>,
    /// How the endpoints stand that were asked before; of the others what is stored decides.
    pub standings: BTreeMap<EndpointId, EndpointHealth>,
    /// At most so many of one endpoint, those on their way included.
    pub per_endpoint: usize,
    /// At most so many in all, without those on their way.
    pub limit: usize,
}

impl DueDeliveries {
    /// Which of an endpoint are on their way, by their events' numbers.
    #[must_use]
    pub fn in_flight_of(&self, endpoint: EndpointId) -> Vec<u64> {
        let own = self.in_flight.iter().filter(|(id, _)| *id == endpoint);
        own.map(|(_, seq)| *seq).collect()
    }

    /// How an endpoint stands.
    #[must_use]
    pub fn standing(&self, endpoint: &Endpoint) -> EndpointHealth {
        let known = self.standings.get(&endpoint.id).copied();
        known.unwrap_or_else(|| EndpointHealth::at_first(endpoint))
    }

    /// Choose among what is due for all enabled endpoints ([`webhook::choose`]).
    #[must_use]
    pub fn choose(&self, due: &[Waiting]) -> Vec<(EndpointId, Timestamp, u64)> {
        let mut on_their_way = BTreeMap::new();
        for (id, _) in &self.in_flight {
            *on_their_way.entry(*id).or_default() += 1;
        }
        webhook::choose(due, &on_their_way, self.per_endpoint, self.limit)
    }

    /// To which endpoints something is on its way that can't have it any more, given those that are enabled.
    #[must_use]
    pub fn gone(&self, is_enabled: impl Fn(EndpointId) -> bool) -> BTreeSet<EndpointId> {
        let to = self.in_flight.iter().map(|(id, _)| *id);
        to.filter(|id| !is_enabled(*id)).collect()
    }
}

/// A delivery to make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    pub endpoint: Endpoint,
    pub event: Event,
    /// See [`Delivery::made`].
    pub made: u32,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// In the order of [`DueDeliveries::choose`].
    pub deliveries: Vec<DueDelivery>,
    /// When the next one is due that is not due yet.
    pub next_at: Option<Timestamp>,
    /// Of those on their way: endpoints that are removed or disabled.
    pub gone: BTreeSet<EndpointId>,
}

/// What to deliver again, oldest event first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    pub endpoint: EndpointId,
    /// Only events that happened from then on.
    pub since: Timestamp,
    /// Also what was delivered, and what the endpoint never had a delivery of, as it was disabled,
    /// or not yet there. Otherwise only what is exhausted.
    pub all: bool,
    /// Only of events after this number.
    pub after: Option<u64>,
    /// At most so many deliveries.
    pub limit: usize,
    pub now: Timestamp,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Replayed {
    pub deliveries: u64,
    /// The number of the event to go on after, if the limit ended it.
    pub more_after: Option<u64>,
}

/// What a backend does for webhooks. Events and their deliveries come to be in the commands that
/// they tell of: `finish_run`, `finish_keyed_run`, `recover_runs`, `remove_connection`,
/// `update_connections` and [`Self::settle_delivery`].
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Add an endpoint. Idempotent by what is added: `Exists` names another one of the id. `Full` when
    /// there are as many as there may be.
    async fn add_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError>;
    /// Change an endpoint to what is given if its `revision` is still the one given, which then counts
    /// on. Says whether it is so now. What is pending stays pending, and is due while it is enabled.
    async fn update_endpoint(&self, endpoint: Endpoint) -> Result<bool, StoreError>;
    async fn endpoint(&self, id: EndpointId) -> Result<Endpoint, StoreError>;
    /// All of them, by id.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;
    /// Remove an endpoint with its deliveries. It is gone at once, on all hosts.
    async fn remove_endpoint(&self, id: EndpointId) -> Result<(), StoreError>;

    /// What is due: of each endpoint that is enabled, and of each of its streams, the oldest delivery
    /// that is pending, once its time has come. Changes nothing. **For one host only**: a second one would be handed the same
    /// deliveries.
    async fn due_deliveries(&self, due: DueDeliveries) -> Result<Due, StoreError>;
    /// Write what came of the attempt that was begun when there had been `made` attempts, decide what
    /// comes next ([`crate::webhook::settled`]), and disable the endpoint if that is to be, with an
    /// event for the others. `made` is the fence: of several who made the same attempt the first one counts. Returns the
    /// delivery's state; `None` when there is no such delivery, or it is not pending, or that attempt was settled before: then
    /// nothing happens.
    async fn settle_delivery(
        &self,
        endpoint: EndpointId,
        seq: u64,
        made: u32,
        attempt: Attempt,
    ) -> Result<Option<DeliveryState>, StoreError>;

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError>;
    /// Set deliveries to pending, and make those that are missing. What is pending stays as it is. A
    /// crash on the way may leave some; repeating it does the rest.
    async fn replay_deliveries(&self, replay: Replay) -> Result<Replayed, StoreError>;
    /// Forget the first events with their deliveries, up to one that did not happen before `before`, and
    /// at most `limit` of them; but for those that are pending for an endpoint which is enabled.
    /// Returns how many events went. Any host; what is gone is passed over.
    async fn forget_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
    /// Wait until there may be something due that was not, for another reason than time, counting
    /// from `heard`, which is 0 at first and then what this returned. A host may hear late, or not at all, of what another
    /// one did: whoever waits looks from time to time, too.
    async fn deliveries_changed(&self, heard: u64) -> Result<u64, StoreError>;
}
