//! What fixtures of format 3 and later have as well: a schedule that has fired, a job that ended, one that
//! waits, and an endpoint with a delivery.

use tidegate_engine::board::Caps;
use tidegate_engine::job::{JobId, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::Trigger;
use tidegate_engine::schedule::{Definition, Origin, ScheduleId, When};
use tidegate_engine::store::{
    Claim, DeliveryFilter, DueDeliveries, JobFilter, PutSchedule, ScheduleFilter,
};
use tidegate_engine::{Name, Store, Timestamp};

use crate::common::*;

fn schedule() -> ScheduleId {
    ScheduleId::from_parts(Timestamp(800), 1)
}

fn target() -> JobTarget {
    JobTarget::Sync {
        connection: connection("bolt"),
        sync: name("contacts"),
        variant: Name::base_variant(),
        reset: false,
        empty: false,
        allow_deletes: false,
    }
}

pub(crate) async fn fill(store: &dyn Store) {
    store.add_endpoint(new_endpoint(1)).await.unwrap();
    let every = When::Every {
        every: "1h".parse().unwrap(),
    };
    let put = PutSchedule {
        id: schedule(),
        definition: Definition::new(target(), vec![every]),
        origin: Origin::User,
        revision: None,
        now: Timestamp(800),
    };
    store.put_schedule(put).await.unwrap();
    let due = Timestamp(3_600_000);
    assert_eq!(store.fire_due(due, 10).await.unwrap().len(), 1);
    let claim = Claim {
        runs: vec![run_id(5)],
        caps: Caps {
            total: 1,
            per_integration: 1,
            ..Caps::default()
        },
        now: due,
        lease_until: Timestamp(due.0 + 30_000),
    };
    let claimed = store.claim(claim).await.unwrap();
    let fence = claimed[0].started.fence;
    store
        .finish_run(run_id(5), fence, end(due.0 + 1))
        .await
        .unwrap();
    let waits = NewJob {
        id: JobId::from_parts(Timestamp(due.0 + 2), 1),
        target: target(),
        trigger: Trigger::Api,
        fire: None,
        priority: Priority::High,
        concurrency: None,
        retry: Retry::default(),
        due_at: Timestamp(due.0 + 2),
        expires_at: None,
        idempotency_key: None,
        now: Timestamp(due.0 + 2),
    };
    store.enqueue(waits).await.unwrap();
}

/// It is the same in both.
pub(crate) async fn compare(sled: &dyn Store, memory: &dyn Store) {
    let schedules = ScheduleFilter {
        limit: 10,
        ..ScheduleFilter::default()
    };
    same!(sled, memory, store => store.schedules(schedules.clone()));
    same!(sled, memory, store => store.fires(schedule(), None, 10));
    let jobs = JobFilter {
        limit: 10,
        ..JobFilter::default()
    };
    same!(sled, memory, store => store.jobs(jobs.clone()));
    same!(sled, memory, store => store.endpoints());
    let deliveries = DeliveryFilter {
        endpoint: endpoint_id(1),
        state: None,
        before: None,
        limit: 10,
    };
    same!(sled, memory, store => store.deliveries(deliveries.clone()));
    let due = DueDeliveries {
        now: Timestamp(u64::MAX / 2),
        per_endpoint: 10,
        limit: 10,
        ..DueDeliveries::default()
    };
    same!(sled, memory, store => store.due_deliveries(due.clone()));
}
