//! The commands of webhooks.

use std::collections::BTreeSet;

use tidegate_engine::limits::WEBHOOK_ENDPOINTS;
use tidegate_engine::store::{Due, DueDeliveries, DueDelivery, Replay};
use tidegate_engine::webhook::{
    self, Attempt, Delivery, DeliveryState, Endpoint, EndpointId, Event, Waiting, replayed, settled,
};
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::{Writes, damaged};
use crate::layout::Corrupt;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::outbox::pending_key;
use super::purge::Purge;
use super::{Writer, not_found};

/// What one step of a replay did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayStep {
    pub(crate) deliveries: u64,
    /// The last event that it looked at.
    pub(crate) last: Option<u64>,
    /// Whether there may be more events.
    pub(crate) more: bool,
}

impl Writer {
    pub(crate) fn add_endpoint(&mut self, endpoint: Endpoint) -> Result<(), StoreError> {
        let exists = || StoreError::Exists {
            what: "endpoint",
            name: endpoint.id.to_string(),
        };
        match self.hooks.endpoints.get(&endpoint.id) {
            Some(same) if *same == endpoint => return Ok(()),
            Some(_) => return Err(exists()),
            None => {}
        }
        // One that was removed, whose deliveries are not all gone yet.
        let dropped = keys::dropped_endpoints().raw(&endpoint.id.to_bytes());
        if self.view().get(&dropped)?.is_some() {
            return Err(exists());
        }
        if self.hooks.endpoints.len() as u64 >= WEBHOOK_ENDPOINTS {
            return Err(StoreError::Full {
                what: "endpoints",
                limit: "webhook_endpoints",
                most: WEBHOOK_ENDPOINTS,
            });
        }
        let mut writes = Writes::default();
        self.put_endpoint(&mut writes, &endpoint)?;
        self.apply(writes)?;
        self.hooks.put(endpoint);
        Ok(())
    }

    fn known_endpoint(&self, id: EndpointId) -> Result<&Endpoint, StoreError> {
        let found = self.hooks.endpoints.get(&id);
        found.ok_or_else(|| not_found("endpoint", &id))
    }

    pub(crate) fn update_endpoint(&mut self, update: &Endpoint) -> Result<bool, StoreError> {
        let Some(new) = webhook::updated(self.known_endpoint(update.id)?, update) else {
            return Ok(false);
        };
        let mut writes = Writes::default();
        self.put_endpoint(&mut writes, &new)?;
        self.apply(writes)?;
        self.hooks.put(new);
        Ok(true)
    }

    /// Take the endpoint away. Its deliveries are purged later.
    pub(crate) fn remove_endpoint(&mut self, id: EndpointId) -> Result<(), StoreError> {
        self.known_endpoint(id)?;
        let mut writes = Writes::default();
        writes.remove(&self.view(), keys::endpoint(id))?;
        writes.put_new(keys::dropped_endpoints().raw(&id.to_bytes()), &[]);
        self.apply(writes)?;
        self.hooks.remove(id);
        self.purges.push_back(Purge::Endpoint(id));
        Ok(())
    }

    pub(crate) fn due_deliveries(&mut self, wanted: &DueDeliveries) -> Result<Due, StoreError> {
        let mut waiting = Vec::new();
        let mut due = Due {
            gone: wanted.gone(|id| self.hooks.is_enabled(id)),
            ..Due::default()
        };
        let enabled = self.hooks.endpoints.values();
        for endpoint in enabled.filter(|endpoint| endpoint.disabled.is_none()) {
            let id = endpoint.id;
            let in_flight = wanted.in_flight_of(id);
            let room = wanted.per_endpoint.saturating_sub(in_flight.len());
            let (heads, next_at) = self.hooks.due(endpoint, wanted.now, &in_flight, room);
            waiting.push(Waiting {
                endpoint: id,
                standing: wanted.standing(endpoint),
                heads,
            });
            due.next_at = next_at.into_iter().chain(due.next_at).min();
        }
        for (id, _, seq) in wanted.choose(&waiting) {
            match self.due_delivery(id, seq) {
                Ok(delivery) => due.deliveries.push(delivery),
                // `check` finds it; meanwhile the others go on.
                Err(StoreError::Damaged { .. }) => self.hooks.set_aside(id, seq),
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    fn due_delivery(&self, id: EndpointId, seq: u64) -> Result<DueDelivery, StoreError> {
        let lost = |key: &Key| {
            damaged(
                key.as_ref(),
                Corrupt("a delivery without its event, or itself lost"),
            )
        };
        let key = keys::event(seq);
        let event: Option<Event> = self.view().row(&key, rows::decode)?;
        let delivery = self.delivery(id, seq)?;
        Ok(DueDelivery {
            endpoint: self.known_endpoint(id)?.clone(),
            event: event.ok_or_else(|| lost(&key))?,
            made: delivery.ok_or_else(|| lost(&keys::delivery(id, seq)))?.made,
        })
    }

    pub(crate) fn settle_delivery(
        &mut self,
        id: EndpointId,
        seq: u64,
        made: u32,
        attempt: Attempt,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let Some(endpoint) = self.hooks.endpoints.get(&id) else {
            return Ok(None);
        };
        let waits = |old: &Delivery| old.made == made && old.state.next_at().is_some();
        let Some(old) = self.delivery(id, seq)?.filter(waits) else {
            return Ok(None);
        };
        let done = settled(endpoint, &old, attempt);
        let mut writes = Writes::default();
        self.put_delivery(&mut writes, &done.delivery)?;
        let ended = done.delivery.state.next_at().is_none();
        if ended {
            writes.remove_short(pending_key(&old));
        }
        let disabled = done.endpoint.as_ref().filter(|_| done.disabled);
        let events = disabled
            .and_then(webhook::endpoint_disabled)
            .into_iter()
            .collect();
        self.apply_telling(writes, events, done.endpoint)?;
        self.count_waiting(id, -i64::from(ended));
        self.find_head(id, old.stream)?;
        Ok(Some(done.delivery.state))
    }

    /// Replay what the next `step_keys` events after `after` call for, at most `limit` deliveries.
    pub(crate) fn replay_step(
        &mut self,
        replay: &Replay,
        after: Option<u64>,
        limit: u64,
    ) -> Result<ReplayStep, StoreError> {
        let endpoint = self.known_endpoint(replay.endpoint)?.clone();
        let prefix = Key::new(Tag::Event);
        let first = after.map_or(0, |after| after.saturating_add(1));
        let mut step = ReplayStep::default();
        let mut writes = Writes::default();
        let mut streams: BTreeSet<Option<ConnectionKey>> = BTreeSet::new();
        let mut waiting: i64 = 0;
        let view = self.view();
        let events = view.range(&keys::event(first), &prefix.after_prefix());
        for (looked_at, item) in events.enumerate() {
            if looked_at == self.tuning.step_keys || step.deliveries >= limit {
                step.more = true;
                break;
            }
            let (key, value) = item?;
            let event: Event = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            step.last = Some(event.seq);
            if event.at < replay.since {
                continue;
            }
            let old = self.delivery(endpoint.id, event.seq)?;
            let is_pending = old
                .as_ref()
                .is_some_and(|old| old.state.next_at().is_some());
            let delivery = match old {
                Some(old) if old.is_replayed(replay.all) => replayed(&old, replay.now),
                None if replay.all && endpoint.wants(event.kind, event.stream.as_ref()) => {
                    Delivery::new(endpoint.id, &event, replay.now)
                }
                _ => continue,
            };
            self.put_delivery(&mut writes, &delivery)?;
            if !is_pending {
                writes.put_new(pending_key(&delivery), &[]);
                waiting += 1;
            }
            streams.insert(delivery.stream);
            step.deliveries += 1;
        }
        drop(view);
        self.apply(writes)?;
        self.count_waiting(endpoint.id, waiting);
        for stream in streams {
            self.find_head(endpoint.id, stream)?;
        }
        Ok(step)
    }

    /// In the order of events, up to the first one that is not older.
    pub(crate) fn forget_events(
        &mut self,
        before: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let mut writes = Writes::default();
        let mut forgotten = 0;
        let mut waited: Vec<Delivery> = Vec::new();
        for item in self.view().prefix(&Key::new(Tag::Event)) {
            let (_, value) = item?;
            // `check` finds what is damaged; meanwhile the others go.
            let Ok(event) = rows::decode::<Event>(&value) else {
                continue;
            };
            if event.at >= before || forgotten >= limit as u64 {
                break;
            }
            let mut own = Vec::new();
            let mut is_kept = false;
            for endpoint in self.hooks.endpoints.values() {
                let delivery = match self.delivery(endpoint.id, event.seq) {
                    Err(StoreError::Damaged { .. }) => {
                        is_kept = true;
                        continue;
                    }
                    found => found?,
                };
                let waits = delivery
                    .as_ref()
                    .is_some_and(|own| own.state.next_at().is_some());
                is_kept |= waits && endpoint.disabled.is_none();
                own.extend(delivery);
            }
            if is_kept {
                continue;
            }
            for delivery in own {
                writes.remove(
                    &self.view(),
                    keys::delivery(delivery.endpoint, delivery.seq),
                )?;
                if delivery.state.next_at().is_some() {
                    writes.remove_short(pending_key(&delivery));
                    waited.push(delivery);
                }
            }
            writes.remove(&self.view(), keys::event(event.seq))?;
            forgotten += 1;
        }
        self.apply(writes)?;
        for delivery in waited {
            self.count_waiting(delivery.endpoint, -1);
            self.find_head(delivery.endpoint, delivery.stream)?;
        }
        Ok(forgotten)
    }
}
