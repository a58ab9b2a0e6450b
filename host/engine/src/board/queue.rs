//! Which job starts next: an index of the jobs that wait and run.
//!
//! Order: by priority, then by place. A connection's jobs of one priority get places a virtual second apart,
//! the first of them the present: so a connection that queues 10,000 jobs at once takes places hours ahead,
//! and a job of another that comes a minute later goes before nearly all of them. One that waits for its
//! time gets a place of that time, and holds up none that may start before. Places are stored with the
//! jobs, so a restart changes nothing.
//!
//! A lane is the jobs of one connection that may start as far as time is concerned. Its head is the first
//! that no gate holds back; claiming takes the least head of the integrations that have room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use crate::job::{Job, JobId, Priority};
use crate::run::Trigger;
use crate::schedule::ScheduleId;
use crate::{ConnectionKey, Name, SyncKey, Timestamp};

/// How far apart the places of one connection's jobs are, in milliseconds.
const PLACE_STEP: u64 = 1000;
/// Places in a row that are looked at for a free one.
const PLACES_MAX: usize = 1000;

/// How many jobs may run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    pub total: u32,
    pub per_integration: u32,
    pub per_connection: u32,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self {
            total: 64,
            per_integration: 32,
            per_connection: 4,
        }
    }
}

type Order = (Priority, u64, JobId);

/// What lets only some through at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum ConcurrencyGroup {
    /// A sync runs once at a time.
    Sync(SyncKey),
    /// As a schedule's overlap policy says.
    Schedule(ScheduleId),
    /// The moments of a backfill are filled one after the other.
    Backfill(ScheduleId),
    /// One that a caller chose.
    Key(String),
}

impl ConcurrencyGroup {
    /// Whether jobs of several connections may wait for it.
    fn is_shared(&self) -> bool {
        matches!(self, Self::Key(_))
    }
}

#[derive(Debug)]
struct Slot {
    order: Order,
    due: Timestamp,
    lane: ConnectionKey,
    /// With how many may pass at the same time.
    gates: Vec<(ConcurrencyGroup, u32)>,
    running: bool,
}

#[derive(Debug, Default)]
struct ConnectionQueue {
    /// Of those that have not started, the ones whose time had come when last asked.
    ready: BTreeSet<Order>,
    head: Option<Order>,
    /// Of its jobs that have not started.
    places: BTreeSet<Order>,
    running: u32,
}

impl ConnectionQueue {
    /// The first place from `from` on that is a step away from every other.
    fn free_place(&self, priority: Priority, from: u64) -> u64 {
        let (first, last) = all_of(priority).into_inner();
        let near = (priority, from.saturating_sub(PLACE_STEP - 1), first.2);
        let mut free = from;
        for (count, (_, place, _)) in self.places.range(near..=last).enumerate() {
            if *place >= free.saturating_add(PLACE_STEP) {
                break;
            }
            free = free.max(place.saturating_add(PLACE_STEP));
            if count == PLACES_MAX {
                // It is crowded: behind them all.
                let last = self.places.range(first..=last).next_back();
                return last.map_or(free, |(_, place, _)| place.saturating_add(PLACE_STEP));
            }
        }
        free
    }
}

/// Where the jobs of one priority are.
fn all_of(priority: Priority) -> RangeInclusive<Order> {
    let (first, last) = (JobId::from_bytes([0; 16]), JobId::from_bytes([255; 16]));
    (priority, 0, first)..=(priority, u64::MAX, last)
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Queue {
    caps: ConcurrencyLimits,
    slots: BTreeMap<JobId, Slot>,
    waiting: BTreeSet<(Timestamp, JobId)>,
    lanes: HashMap<ConnectionKey, ConnectionQueue>,
    /// Lanes with ready jobs that their heads don't reckon with yet.
    ripened: BTreeSet<ConnectionKey>,
    /// The heads of all lanes that have one, by integration.
    heads: BTreeMap<Name, BTreeMap<Order, ConnectionKey>>,
    running: u32,
    running_of: HashMap<Name, u32>,
    passed: HashMap<ConcurrencyGroup, u32>,
    /// Lanes with jobs behind a gate that lanes share ([`ConcurrencyGroup::is_shared`]), and how many each has.
    behind: HashMap<ConcurrencyGroup, BTreeMap<ConnectionKey, usize>>,
}

impl Queue {
    /// The place of another job of `connection` that may start from `due` on.
    pub(super) fn place(
        &mut self,
        connection: &ConnectionKey,
        priority: Priority,
        due: Timestamp,
        now: Timestamp,
    ) -> u64 {
        self.ripen(now);
        let Some(lane) = self.lanes.get(connection) else {
            return due.0;
        };
        if due > now {
            return lane.free_place(priority, due.0);
        }
        let is_due = |order: &&Order| {
            let slot = self.slots.get(&order.2);
            slot.is_some_and(|slot| slot.due <= now)
        };
        let last = lane.ready.range(all_of(priority)).rev().find(is_due);
        last.map_or(due.0, |(_, place, _)| {
            due.0.max(place.saturating_add(PLACE_STEP))
        })
    }

    /// The jobs of a connection that have not started.
    pub(super) fn waiting_of(&self, connection: &ConnectionKey) -> impl Iterator<Item = JobId> {
        let lane = self.lanes.get(connection);
        lane.into_iter()
            .flat_map(|lane| lane.places.iter().map(|(_, _, id)| *id))
    }

    /// How many wait or run.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many run, how many could at `now`, and since when the one that waits longest could.
    pub(super) fn figures(&self, now: Timestamp) -> (usize, usize, Option<Timestamp>) {
        let waits = self
            .slots
            .values()
            .filter(|slot| !slot.running && slot.due <= now);
        let (mut ready, mut oldest) = (0, None);
        for slot in waits {
            ready += 1;
            oldest = Some(oldest.map_or(slot.due, |oldest: Timestamp| oldest.min(slot.due)));
        }
        (self.running as usize, ready, oldest)
    }

    /// Take in a job that waits.
    pub(super) fn insert(&mut self, job: &Job) {
        let lane = job.target.connection().clone();
        let order = (job.priority, job.place, job.id);
        let slot = Slot {
            order,
            due: job.due_at,
            lane: lane.clone(),
            gates: gates(job),
            running: false,
        };
        for (gate, _) in slot.gates.iter().filter(|(gate, _)| gate.is_shared()) {
            let lanes = self.behind.entry(gate.clone()).or_default();
            *lanes.entry(lane.clone()).or_default() += 1;
        }
        let places = &mut self.lanes.entry(lane).or_default().places;
        places.insert(order);
        self.waiting.insert((job.due_at, job.id));
        self.slots.insert(job.id, slot);
    }

    /// Take in a job that runs already.
    pub(super) fn insert_running(&mut self, job: &Job) {
        self.insert(job);
        self.waiting.remove(&(job.due_at, job.id));
        self.start(job.id);
    }

    /// Forget a job, whether it waits or runs.
    pub(super) fn remove(&mut self, id: JobId) {
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        self.waiting.remove(&(slot.due, id));
        if let Some(lane) = self.lanes.get_mut(&slot.lane) {
            lane.ready.remove(&slot.order);
            lane.places.remove(&slot.order);
            if slot.running {
                lane.running = lane.running.saturating_sub(1);
            }
        }
        if slot.running {
            self.running = self.running.saturating_sub(1);
            lower(&mut self.running_of, &slot.lane.integration);
        }
        let mut touched = BTreeSet::from([slot.lane.clone()]);
        for (gate, _) in &slot.gates {
            if slot.running {
                lower(&mut self.passed, gate);
            }
            if gate.is_shared()
                && let Some(lanes) = self.behind.get_mut(gate)
            {
                if let Some(count) = lanes.get_mut(&slot.lane) {
                    *count -= 1;
                    if *count == 0 {
                        lanes.remove(&slot.lane);
                    }
                }
                touched.extend(lanes.keys().cloned());
                if lanes.is_empty() {
                    self.behind.remove(gate);
                }
            }
        }
        for lane in touched {
            self.refresh(&lane);
        }
    }

    /// A sync runs that no job is for, or has ended.
    pub(super) fn set_busy(&mut self, sync: &SyncKey, busy: bool) {
        let gate = ConcurrencyGroup::Sync(sync.clone());
        if busy {
            *self.passed.entry(gate).or_default() += 1;
        } else {
            lower(&mut self.passed, &gate);
        }
        self.refresh(&sync.connection);
    }

    /// The connection is removed: whatever ran for it runs no more.
    pub(super) fn forget_syncs(&mut self, connection: &ConnectionKey) {
        self.passed.retain(|gate, _| match gate {
            ConcurrencyGroup::Sync(sync) => sync.connection != *connection,
            _ => true,
        });
    }

    /// The job that starts next, if one may.
    pub(super) fn first(&mut self, now: Timestamp, caps: ConcurrencyLimits) -> Option<JobId> {
        self.promote(now, caps);
        if self.running >= caps.total {
            return None;
        }
        let room = |name: &Name| self.running_of.get(name).copied().unwrap_or_default();
        let open = self
            .heads
            .iter()
            .filter(|(name, _)| room(name) < caps.per_integration);
        let first = open.filter_map(|(_, heads)| heads.first_key_value()).min();
        let (_, _, id) = *first?.0;
        Some(id)
    }

    /// When a job that waits for its time may start; those that wait for others are not counted.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let later = Timestamp(now.0.saturating_add(1));
        let first = JobId::from_bytes([0; 16]);
        self.waiting
            .range((later, first)..)
            .next()
            .map(|(due, _)| *due)
    }

    /// What has waited for its time is ready from `now` on.
    fn ripen(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.waiting.first().copied().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, id));
            if let Some(slot) = self.slots.get(&id) {
                let lane = self.lanes.entry(slot.lane.clone()).or_default();
                lane.ready.insert(slot.order);
                if !self.ripened.contains(&slot.lane) {
                    self.ripened.insert(slot.lane.clone());
                }
            }
        }
    }

    fn promote(&mut self, now: Timestamp, caps: ConcurrencyLimits) {
        self.ripen(now);
        let mut touched = std::mem::take(&mut self.ripened);
        if caps != self.caps {
            self.caps = caps;
            touched = self.lanes.keys().cloned().collect();
        }
        for lane in touched {
            self.refresh(&lane);
        }
    }

    /// A job counts as running from now on.
    pub(super) fn start(&mut self, id: JobId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.running = true;
        let (order, lane_key, gates) = (slot.order, slot.lane.clone(), slot.gates.clone());
        self.running += 1;
        *self
            .running_of
            .entry(lane_key.integration.clone())
            .or_default() += 1;
        let lane = self.lanes.entry(lane_key.clone()).or_default();
        lane.ready.remove(&order);
        lane.places.remove(&order);
        lane.running += 1;
        let mut touched = BTreeSet::from([lane_key]);
        for (gate, _) in gates {
            if gate.is_shared()
                && let Some(lanes) = self.behind.get(&gate)
            {
                touched.extend(lanes.keys().cloned());
            }
            *self.passed.entry(gate).or_default() += 1;
        }
        for lane in touched {
            self.refresh(&lane);
        }
    }

    /// Find the head of a lane anew.
    fn refresh(&mut self, key: &ConnectionKey) {
        let Some(lane) = self.lanes.get(key) else {
            return;
        };
        let is_open = |order: &&Order| {
            let slot = self.slots.get(&order.2);
            slot.is_some_and(|slot| {
                let mut gates = slot.gates.iter();
                gates.all(|(gate, max)| self.passed.get(gate).copied().unwrap_or_default() < *max)
            })
        };
        let has_room = lane.running < self.caps.per_connection;
        let head = has_room
            .then(|| lane.ready.iter().find(is_open).copied())
            .flatten();
        let is_idle = lane.running == 0 && lane.places.is_empty();
        let before = lane.head;
        if head != before {
            let heads = self.heads.entry(key.integration.clone()).or_default();
            if let Some(before) = before {
                heads.remove(&before);
            }
            if let Some(head) = head {
                heads.insert(head, key.clone());
            }
            if heads.is_empty() {
                self.heads.remove(&key.integration);
            }
        }
        if is_idle {
            self.lanes.remove(key);
        } else if let Some(lane) = self.lanes.get_mut(key) {
            lane.head = head;
        }
    }
}

fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn gates(job: &Job) -> Vec<(ConcurrencyGroup, u32)> {
    let sync = job
        .target
        .sync()
        .map(|sync| (ConcurrencyGroup::Sync(sync), 1));
    let key = job.concurrency.as_ref();
    let key = key.map(|key| match job.fire {
        Some(fire) => (ConcurrencyGroup::Schedule(fire.schedule), key.max),
        None => (ConcurrencyGroup::Key(key.key.clone()), key.max),
    });
    let backfill = job.fire.filter(|_| job.trigger == Trigger::Backfill);
    let backfill = backfill.map(|fire| (ConcurrencyGroup::Backfill(fire.schedule), 1));
    sync.into_iter().chain(key).chain(backfill).collect()
}
