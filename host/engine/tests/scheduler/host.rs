//! A host on the memory store whose clock stands until the test moves it.

use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use tidegate_engine::board::{ConcurrencyLimits, Fired, Outcomes};
use tidegate_engine::integration::{Connection, NewDeployment};
use tidegate_engine::job::{Job, JobTarget};
use tidegate_engine::run::{Failure, Figures, Outcome, RunEnd, RunId};
use tidegate_engine::schedule::{
    Definition, Fire, FireOutcome, Origin, Schedule, ScheduleId, ScheduleRule,
};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Claim, Claimed, JobFilter, PutSchedule, RunFilter};
use tidegate_engine::{ConnectionKey, Name, StoreError, Timestamp};
use tidegate_store_memory::MemoryStore;

/// Milliseconds.
pub(crate) const SECOND: u64 = 1000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// The moment that RFC 3339 text says.
pub(crate) fn at(text: &str) -> Timestamp {
    let moment: jiff::Timestamp = text.parse().unwrap();
    Timestamp(u64::try_from(moment.as_millisecond()).unwrap())
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn connection(text: &str) -> ConnectionKey {
    ConnectionKey {
        integration: name("crm"),
        connection: text.parse().unwrap(),
    }
}

pub(crate) fn sync_of(connection_name: &str, sync: &str) -> JobTarget {
    JobTarget::Sync {
        connection: connection(connection_name),
        sync: name(sync),
        variant: Name::base_variant(),
        reset: false,
        empty: false,
        allow_deletes: false,
    }
}

pub(crate) fn action_of(connection_name: &str) -> JobTarget {
    JobTarget::Action {
        connection: connection(connection_name),
        action: name("push"),
        input: "{}".to_owned().into(),
    }
}

pub(crate) fn every(interval: &str) -> ScheduleRule {
    ScheduleRule::Every {
        every: interval.parse().unwrap(),
    }
}

pub(crate) fn cron(cron: &str, timezone: &str) -> ScheduleRule {
    ScheduleRule::Cron {
        cron: cron.to_owned(),
        timezone: timezone.to_owned(),
        dst_gap: tidegate_engine::schedule::DstGap::Shift,
    }
}

pub(crate) struct Host {
    pub(crate) store: MemoryStore,
    pub(crate) now: Timestamp,
    runs: u128,
    schedules: u128,
}

impl Host {
    /// A host with the connections `names`, at `now`.
    pub(crate) fn new(now: &str, names: &[&str]) -> Self {
        let store = MemoryStore::default();
        let manifest = r#"{"manifest": 1, "name": "crm", "version": "1.0.0"}"#;
        block_on(async {
            let digest = store.put_component(b"component".to_vec()).await.unwrap();
            let deployment = NewDeployment {
                integration: name("crm"),
                digest,
                manifest: serde_json::from_str(manifest).unwrap(),
                grants: tidegate_engine::grant::Grants::default(),
                config: serde_json::Map::new(),
                now: Timestamp(0),
            };
            store.deploy(deployment).await.unwrap();
            for name in names {
                store.add_connection(new_connection(name)).await.unwrap();
            }
        });
        Self {
            store,
            now: at(now),
            runs: 0,
            schedules: 0,
        }
    }

    pub(crate) fn put(&mut self, definition: Definition) -> Schedule {
        self.schedules += 1;
        let id = ScheduleId::from_parts(Timestamp(1), self.schedules);
        self.put_as(id, definition)
    }

    pub(crate) fn put_as(&self, id: ScheduleId, definition: Definition) -> Schedule {
        let put = PutSchedule {
            id,
            definition,
            origin: Origin::User,
            revision: None,
            now: self.now,
        };
        block_on(self.store.put_schedule(put)).unwrap()
    }

    pub(crate) fn schedule(&self, id: ScheduleId) -> Schedule {
        block_on(self.store.schedule(id)).unwrap()
    }

    /// Fire whatever is due now.
    pub(crate) fn fire(&self) -> Vec<Fired> {
        block_on(self.store.fire_due(self.now, 1_000_000)).unwrap()
    }

    pub(crate) fn claim(&mut self, runs: usize, caps: ConcurrencyLimits) -> Vec<Claimed> {
        let first = self.runs;
        self.runs += runs as u128;
        let ids = (first..self.runs).map(|n| RunId::from_parts(self.now, n));
        let claim = Claim {
            runs: ids.collect(),
            caps,
            now: self.now,
            lease_until: Timestamp(self.now.0 + 30 * SECOND),
        };
        block_on(self.store.claim(claim)).unwrap()
    }

    pub(crate) fn end(&self, claimed: &Claimed, outcome: Outcome, failure: Option<Failure>) -> Job {
        let end = RunEnd {
            at: self.now,
            outcome,
            failure,
            figures: Figures::default(),
        };
        let fence = claimed.started.fence;
        block_on(self.store.finish_run(claimed.run, fence, end)).unwrap();
        self.job(claimed)
    }

    pub(crate) fn succeed(&self, claimed: &Claimed) -> Job {
        self.end(claimed, Outcome::Success, None)
    }

    pub(crate) fn job(&self, claimed: &Claimed) -> Job {
        block_on(self.store.job(claimed.job.id)).unwrap()
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        let filter = JobFilter {
            limit: usize::MAX,
            ..JobFilter::default()
        };
        block_on(self.store.jobs(filter)).unwrap()
    }

    /// How many runs there have been.
    pub(crate) fn runs(&self) -> usize {
        let filter = RunFilter {
            limit: usize::MAX,
            ..RunFilter::default()
        };
        block_on(self.store.runs(filter)).unwrap().len()
    }

    /// Start and end everything that may run, at once.
    pub(crate) fn work(&mut self) {
        loop {
            let claimed = self.claim(64, ConcurrencyLimits::default());
            claimed
                .iter()
                .for_each(|claimed| drop(self.succeed(claimed)));
            if claimed.is_empty() {
                return;
            }
        }
    }

    /// Let time pass until `end`, firing and working whenever something is due.
    pub(crate) fn live_until(&mut self, end: Timestamp) {
        loop {
            let next = block_on(self.store.next_wake()).unwrap();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.fire();
            self.work();
        }
    }

    /// What became of each moment of a schedule; of a range that was missed, its first.
    pub(crate) fn fires(&self, id: ScheduleId) -> BTreeMap<Timestamp, FireOutcome> {
        let fires = block_on(self.store.fires(id, None, usize::MAX)).unwrap();
        let outcome = |fire: Fire| (fire.scheduled_for, fire.outcome);
        fires.into_iter().map(outcome).collect()
    }

    /// The moments that became jobs.
    pub(crate) fn started(&self, id: ScheduleId) -> Vec<Timestamp> {
        let fires = self.fires(id).into_iter();
        let started = fires.filter(|(_, outcome)| matches!(outcome, FireOutcome::Started { .. }));
        started.map(|(at, _)| at).collect()
    }
}

/// A past of which nothing is stored.
pub(crate) struct NoOutcomes;

impl Outcomes for NoOutcomes {
    fn of(&self, _: ScheduleId, _: Timestamp) -> Result<Option<Fire>, StoreError> {
        Ok(None)
    }

    fn own(
        &self,
        _: ScheduleId,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<BTreeSet<Timestamp>, StoreError> {
        Ok(BTreeSet::new())
    }
}

fn new_connection(connection_name: &str) -> Connection {
    Connection {
        key: connection(connection_name),
        base_url: "https://api.example.com/".parse().unwrap(),
        config: serde_json::Map::new(),
        metadata: serde_json::Map::new(),
        secret_names: Vec::new(),
        sealed_secrets: Vec::new(),
        created_at: Timestamp(5),
        updated_at: Timestamp(5),
        tags: BTreeMap::new(),
        external_id: None,
        revision: 0,
        auth_failed: None,
        health: Default::default(),
    }
}
