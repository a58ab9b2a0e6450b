//! Endpoints, events and deliveries of the memory store.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_engine::limits::{WEBHOOK_ENDPOINTS, WEBHOOK_PENDING};
use tidegate_engine::store::{
    DeliveryFilter, Due, DueDeliveries, DueDelivery, Replay, Replayed, StoreError,
};
use tidegate_engine::webhook::{
    self, Attempt, Delivery, DeliveryState, Endpoint, EndpointId, Event, Head, NewEvent, Waiting,
    replayed, route, settled,
};
use tidegate_engine::{ConnectionKey, Timestamp};

use super::{State, not_found};

/// All there is of webhooks.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    pub(super) endpoints: BTreeMap<EndpointId, Endpoint>,
    events: BTreeMap<u64, Event>,
    pub(super) deliveries: BTreeMap<(EndpointId, u64), Delivery>,
    last_event: u64,
    /// There may be something due that was not.
    pub(super) changed: bool,
}

impl Webhooks {
    fn of(&self, id: EndpointId) -> impl DoubleEndedIterator<Item = &Delivery> {
        let own = self.deliveries.range((id, 0)..=(id, u64::MAX));
        own.map(|(_, delivery)| delivery)
    }

    fn pending(&self, id: EndpointId) -> impl Iterator<Item = &Delivery> {
        self.of(id)
            .filter(|delivery| delivery.state.next_at().is_some())
    }

    fn is_enabled(&self, id: EndpointId) -> bool {
        let own = self.endpoints.get(&id);
        own.is_some_and(|endpoint| endpoint.disabled.is_none())
    }

    pub(super) fn endpoint(&self, id: EndpointId) -> Result<&Endpoint, StoreError> {
        let found = self.endpoints.get(&id);
        found.ok_or_else(|| not_found("endpoint", &id))
    }

    /// The oldest pending delivery of each stream.
    fn heads(&self, id: EndpointId) -> Vec<Head> {
        let mut streams: BTreeSet<Option<&ConnectionKey>> = BTreeSet::new();
        let oldest = self
            .pending(id)
            .filter(|own| streams.insert(own.stream.as_ref()));
        oldest.filter_map(Head::of).collect()
    }
}

impl State {
    /// Write the events of the command at hand.
    pub(super) fn write_events(&mut self, events: Vec<NewEvent>) {
        let own = &mut self.webhooks;
        let mut last = own.last_event;
        let pending = |id| own.pending(id).count() as u64;
        let outbox = route(events, &own.endpoints, pending, WEBHOOK_PENDING, &mut last);
        own.last_event = last;
        own.changed |= !outbox.deliveries.is_empty();
        own.events
            .extend(outbox.events.into_iter().map(|event| (event.seq, event)));
        for delivery in outbox.deliveries {
            own.deliveries
                .insert((delivery.endpoint, delivery.seq), delivery);
        }
        for endpoint in outbox.disabled {
            own.endpoints.insert(endpoint.id, endpoint);
        }
    }

    pub(super) fn add_endpoint(&mut self, endpoint: Endpoint) -> Result<(), StoreError> {
        let own = &mut self.webhooks.endpoints;
        match own.get(&endpoint.id) {
            Some(same) if *same == endpoint => Ok(()),
            Some(_) => Err(StoreError::Exists {
                what: "endpoint",
                name: endpoint.id.to_string(),
            }),
            None if own.len() as u64 >= WEBHOOK_ENDPOINTS => Err(StoreError::Full {
                what: "endpoints",
                limit: "webhook_endpoints",
                most: WEBHOOK_ENDPOINTS,
            }),
            None => {
                own.insert(endpoint.id, endpoint);
                Ok(())
            }
        }
    }

    pub(super) fn update_endpoint(&mut self, update: &Endpoint) -> Result<bool, StoreError> {
        let stored = self.webhooks.endpoint(update.id)?;
        let Some(new) = webhook::updated(stored, update) else {
            return Ok(false);
        };
        self.webhooks.endpoints.insert(new.id, new);
        self.webhooks.changed = true;
        Ok(true)
    }

    pub(super) fn due_deliveries(&self, wanted: &DueDeliveries) -> Due {
        let own = &self.webhooks;
        let mut due = Vec::new();
        let mut next_at = None;
        for endpoint in own
            .endpoints
            .values()
            .filter(|endpoint| endpoint.disabled.is_none())
        {
            let id = endpoint.id;
            let in_flight = wanted.in_flight_of(id);
            let mut heads = own.heads(id);
            heads.retain(|head| !in_flight.contains(&head.seq));
            let (now, later) = webhook::due(endpoint, &heads, wanted.now, in_flight.is_empty());
            due.push(Waiting {
                endpoint: id,
                standing: wanted.standing(endpoint),
                heads: now,
            });
            next_at = later.into_iter().chain(next_at).min();
        }
        let chosen = wanted.choose(&due).into_iter();
        let deliveries = chosen.filter_map(|(id, _, seq)| {
            Some(DueDelivery {
                endpoint: own.endpoints.get(&id)?.clone(),
                event: own.events.get(&seq)?.clone(),
                made: own.deliveries.get(&(id, seq))?.made,
            })
        });
        Due {
            deliveries: deliveries.collect(),
            next_at,
            gone: wanted.gone(|id| own.is_enabled(id)),
        }
    }

    pub(super) fn settle_delivery(
        &mut self,
        id: EndpointId,
        seq: u64,
        made: u32,
        attempt: Attempt,
    ) -> Option<DeliveryState> {
        let own = &mut self.webhooks;
        let endpoint = own.endpoints.get(&id)?;
        let delivery = own.deliveries.get_mut(&(id, seq))?;
        if delivery.made != made || delivery.state.next_at().is_none() {
            return None;
        }
        let done = settled(endpoint, delivery, attempt);
        *delivery = done.delivery;
        let state = delivery.state;
        own.changed = true;
        if let Some(endpoint) = done.endpoint {
            let event = webhook::endpoint_disabled(&endpoint).filter(|_| done.disabled);
            own.endpoints.insert(id, endpoint);
            self.write_events(event.into_iter().collect());
        }
        Some(state)
    }

    pub(super) fn replay_deliveries(&mut self, replay: &Replay) -> Result<Replayed, StoreError> {
        let own = &mut self.webhooks;
        let endpoint = own.endpoint(replay.endpoint)?.clone();
        let mut done = Replayed::default();
        let first = replay.after.map_or(0, |after| after.saturating_add(1));
        for event in own.events.range(first..).map(|(_, event)| event) {
            let place = (endpoint.id, event.seq);
            let delivery = match own.deliveries.get(&place) {
                _ if event.at < replay.since => None,
                Some(old) if old.is_replayed(replay.all) => Some(replayed(old, replay.now)),
                Some(_) => None,
                None => (replay.all && endpoint.wants(event.kind, event.stream.as_ref()))
                    .then(|| Delivery::new(endpoint.id, event, replay.now)),
            };
            let Some(delivery) = delivery else { continue };
            own.deliveries.insert(place, delivery);
            done.deliveries += 1;
            if done.deliveries >= replay.limit as u64 {
                done.more_after = Some(event.seq);
                break;
            }
        }
        own.changed = true;
        Ok(done)
    }

    pub(super) fn forget_events(&mut self, before: Timestamp, limit: usize) -> u64 {
        let own = &mut self.webhooks;
        let kept: BTreeSet<u64> = own
            .deliveries
            .values()
            .filter(|delivery| {
                let enabled = own.endpoints.get(&delivery.endpoint);
                let enabled = enabled.is_some_and(|endpoint| endpoint.disabled.is_none());
                enabled && delivery.state.next_at().is_some()
            })
            .map(|delivery| delivery.seq)
            .collect();
        let old = own.events.values().take_while(|event| event.at < before);
        let old = old.map(|event| event.seq).filter(|seq| !kept.contains(seq));
        let old: BTreeSet<u64> = old.take(limit).collect();
        own.events.retain(|seq, _| !old.contains(seq));
        own.deliveries.retain(|(_, seq), _| !old.contains(seq));
        old.len() as u64
    }

    pub(super) fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        self.webhooks.endpoint(filter.endpoint)?;
        let newest_first = self.webhooks.of(filter.endpoint).rev();
        let wanted = newest_first.filter(|delivery| filter.matches(delivery));
        Ok(wanted.take(filter.limit).cloned().collect())
    }
}
