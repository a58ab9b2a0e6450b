//! The events that commands write with what they do, and what waits to be delivered.
//!
//! In memory there is, for each endpoint and stream, the oldest delivery that waits: nothing after it
//! is due before it is done. The others are found by their keys when it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidegate_engine::webhook::{
    self, Delivery, Endpoint, EndpointId, Head, NewEvent, Outbox, route,
};
use tidegate_engine::{ConnectionKey, StoreError, Timestamp};

use crate::disk::{Writes, damaged};
use crate::layout::Corrupt;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;

use super::{Writer, encode};

/// What an event is about.
type Stream = Option<ConnectionKey>;

/// What the writer remembers of webhooks.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    pub(super) endpoints: BTreeMap<EndpointId, Endpoint>,
    waiting: HashMap<EndpointId, Waiting>,
    /// There may be something due that was not.
    changed: bool,
}

/// What waits for one endpoint.
#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    /// The oldest of each stream.
    heads: HashMap<Stream, Head>,
    /// They by when they are due, and by when they are while the endpoint does not fail.
    by_time: BTreeSet<(Timestamp, u64)>,
    by_early: BTreeSet<(Timestamp, u64)>,
}

impl Waiting {
    fn set_head(&mut self, stream: Stream, head: Option<Head>) {
        let old = match head {
            Some(head) => self.heads.insert(stream, head),
            None => self.heads.remove(&stream),
        };
        if let Some(old) = old {
            self.by_time.remove(&(old.next_at, old.seq));
            self.by_early.remove(&(old.early_at, old.seq));
        }
        if let Some(head) = head {
            self.by_time.insert((head.next_at, head.seq));
            self.by_early.insert((head.early_at, head.seq));
        }
    }

    /// Leave out the one of this event.
    fn remove(&mut self, seq: u64) {
        let head = self.heads.iter().find(|(_, own)| own.seq == seq);
        if let Some(stream) = head.map(|(stream, _)| stream.clone()) {
            self.set_head(stream, None);
        }
    }
}

impl Hooks {
    pub(super) fn has_endpoints(&self) -> bool {
        !self.endpoints.is_empty()
    }

    pub(super) fn is_enabled(&self, id: EndpointId) -> bool {
        let own = self.endpoints.get(&id);
        own.is_some_and(|endpoint| endpoint.disabled.is_none())
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn put(&mut self, endpoint: Endpoint) {
        self.endpoints.insert(endpoint.id, endpoint);
        self.changed = true;
    }

    pub(super) fn remove(&mut self, id: EndpointId) {
        self.endpoints.remove(&id);
        self.waiting.remove(&id);
        // What is on its way to it is to be dropped.
        self.changed = true;
    }

    /// The heads of an endpoint that are due at `now`, but for `in_flight`, the first ones first; and
    /// when the next one will be: what [`webhook::due`] says of all of them.
    pub(super) fn due(
        &self,
        endpoint: &Endpoint,
        now: Timestamp,
        in_flight: &[u64],
        limit: usize,
    ) -> (Vec<(Timestamp, u64)>, Option<Timestamp>) {
        let Some(waiting) = self.waiting.get(&endpoint.id) else {
            return (Vec::new(), None);
        };
        let fails = endpoint.first_failure_at.is_some();
        let ordered = match fails {
            true => &waiting.by_time,
            false => &waiting.by_early,
        };
        let free = |(_, seq): &&(Timestamp, u64)| !in_flight.contains(seq);
        let mut due = ordered.range(..=(now, u64::MAX)).filter(free).peekable();
        let later = (Timestamp(now.0.saturating_add(1)), 0);
        let next = ordered.range(later..).find(free).map(|(at, _)| *at);
        if fails && in_flight.is_empty() && due.peek().is_none() {
            let first = waiting.by_early.first().copied();
            let (probe, probe_at) = webhook::probed(endpoint, first, now);
            let next = next.into_iter().chain(probe_at).min();
            return (probe.into_iter().collect(), next);
        }
        (due.take(limit).copied().collect(), next)
    }

    /// A head can't be read: leave it until the store is opened again, so that others go on.
    pub(super) fn set_aside(&mut self, id: EndpointId, seq: u64) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.remove(seq);
        }
    }

    /// What was written is to be delivered.
    fn learn(&mut self, outbox: Outbox) {
        self.changed |= !outbox.deliveries.is_empty();
        for new in outbox.deliveries {
            let waiting = self.waiting.entry(new.endpoint).or_default();
            waiting.count += 1;
            // A later event of a stream waits for the earlier ones.
            if !waiting.heads.contains_key(&new.stream) {
                let head = Head::of(&new);
                waiting.set_head(new.stream, head);
            }
        }
        for endpoint in outbox.disabled {
            self.put(endpoint);
        }
    }
}

impl Writer {
    /// Take up endpoints and what waits for them.
    pub(super) fn load_hooks(&mut self) -> Result<(), StoreError> {
        let prefix = Key::new(Tag::Endpoint);
        let mut hooks = Hooks::default();
        for item in self.view().prefix(&prefix) {
            let (key, value) = item?;
            let endpoint: Endpoint =
                rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            hooks.put(endpoint);
        }
        for id in hooks.endpoints.keys() {
            let prefix = keys::pending(*id);
            let waiting = hooks.waiting.entry(*id).or_default();
            let view = self.view();
            for item in view.raw(&prefix, &prefix.after_prefix()) {
                let (key, _) = item?;
                waiting.count += 1;
                let bad = |corrupt| damaged(&key, corrupt);
                let (stream, rest) = keys::rest(&key, &prefix)
                    .and_then(keys::split_stream)
                    .map_err(bad)?;
                // In the order of streams, then of events.
                if !waiting.heads.contains_key(&stream) {
                    let (seq, _) = keys::split_number(rest).map_err(bad)?;
                    let head = self.head(*id, seq)?;
                    waiting.set_head(stream, Some(head));
                }
            }
        }
        self.hooks = hooks;
        Ok(())
    }

    pub(super) fn delivery(
        &self,
        id: EndpointId,
        seq: u64,
    ) -> Result<Option<Delivery>, StoreError> {
        self.view().row(&keys::delivery(id, seq), rows::decode)
    }

    fn head(&self, id: EndpointId, seq: u64) -> Result<Head, StoreError> {
        let head = self.delivery(id, seq)?.as_ref().and_then(Head::of);
        let key = keys::delivery(id, seq);
        head.ok_or_else(|| damaged(key.as_ref(), Corrupt("a delivery that should be pending")))
    }

    /// Find the oldest delivery of a stream that waits, after what waited has changed.
    pub(super) fn find_head(&mut self, id: EndpointId, stream: Stream) -> Result<(), StoreError> {
        let prefix = keys::pending_stream(id, stream.as_ref());
        let first = self.view().raw(&prefix, &prefix.after_prefix()).next();
        let mut head = None;
        let found = match first.transpose()? {
            None => Ok(()),
            Some((key, _)) => keys::rest(&key, &prefix)
                .and_then(keys::split_number)
                .map_err(|corrupt| damaged(&key, corrupt))
                .and_then(|(seq, _)| {
                    head = Some(self.head(id, seq)?);
                    Ok(())
                }),
        };
        let waiting = self.hooks.waiting.entry(id).or_default();
        waiting.set_head(stream, head);
        self.hooks.changed = true;
        found
    }

    /// So many more wait for an endpoint, or fewer.
    pub(super) fn count_waiting(&mut self, id: EndpointId, more: i64) {
        let waiting = self.hooks.waiting.entry(id).or_default();
        waiting.count = waiting.count.saturating_add_signed(more);
    }

    /// Apply a batch together with the events that tell of it. `changed` is an endpoint that is
    /// another from this batch on.
    pub(super) fn apply_telling(
        &mut self,
        mut writes: Writes,
        events: Vec<NewEvent>,
        changed: Option<Endpoint>,
    ) -> Result<(), StoreError> {
        let outbox = self.put_events(&mut writes, events, changed.as_ref())?;
        if let Some(endpoint) = &changed {
            self.put_endpoint(&mut writes, endpoint)?;
        }
        self.apply(writes)?;
        if let Some(endpoint) = changed {
            self.hooks.put(endpoint);
        }
        self.hooks.learn(outbox);
        Ok(())
    }

    fn put_events(
        &mut self,
        writes: &mut Writes,
        events: Vec<NewEvent>,
        changed: Option<&Endpoint>,
    ) -> Result<Outbox, StoreError> {
        if events.is_empty() || !self.hooks.has_endpoints() {
            return Ok(Outbox::default());
        }
        let with_change = changed.map(|changed| {
            let mut endpoints = self.hooks.endpoints.clone();
            endpoints.insert(changed.id, changed.clone());
            endpoints
        });
        let endpoints = with_change.as_ref().unwrap_or(&self.hooks.endpoints);
        let waiting = |id| {
            self.hooks
                .waiting
                .get(&id)
                .map_or(0, |waiting| waiting.count)
        };
        let mut last = self.counters.event;
        let outbox = route(
            events,
            endpoints,
            waiting,
            self.tuning.pending_max,
            &mut last,
        );
        if outbox.events.is_empty() {
            return Ok(outbox);
        }
        self.counters.event = last;
        self.put_counters(writes)?;
        for event in &outbox.events {
            let key = keys::event(event.seq);
            let value = encode(key.as_ref(), event)?;
            writes.put_new(key, &value);
        }
        for delivery in &outbox.deliveries {
            self.put_delivery(writes, delivery)?;
            writes.put_new(pending_key(delivery), &[]);
        }
        for endpoint in &outbox.disabled {
            self.put_endpoint(writes, endpoint)?;
        }
        Ok(outbox)
    }

    pub(super) fn put_endpoint(
        &self,
        writes: &mut Writes,
        endpoint: &Endpoint,
    ) -> Result<(), StoreError> {
        let key = keys::endpoint(endpoint.id);
        let value = encode(key.as_ref(), endpoint)?;
        writes.put(&self.view(), key, &value)
    }

    pub(super) fn put_delivery(
        &self,
        writes: &mut Writes,
        delivery: &Delivery,
    ) -> Result<(), StoreError> {
        let key = keys::delivery(delivery.endpoint, delivery.seq);
        let value = encode(key.as_ref(), delivery)?;
        writes.put(&self.view(), key, &value)
    }
}

/// The key that says that a delivery waits.
pub(super) fn pending_key(delivery: &Delivery) -> Key {
    keys::pending_stream(delivery.endpoint, delivery.stream.as_ref()).number(delivery.seq)
}
