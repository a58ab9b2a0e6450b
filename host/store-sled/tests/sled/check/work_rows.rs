//! What can be broken among schedules, fires and jobs.

use tidegate_engine::Timestamp;
use tidegate_engine::job::{JobId, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::Trigger;
use tidegate_engine::schedule::{Definition, Origin, ScheduleId, ScheduleRule};
use tidegate_engine::store::PutSchedule;
use tidegate_engine::store::parts::*;
use tidegate_store_sled::SledStore;

use super::damage::{ACME, Row, move_key};
use crate::common::{connection, name};

fn schedule_id() -> ScheduleId {
    ScheduleId::from_parts(Timestamp(7), 1)
}

pub fn job_id() -> JobId {
    JobId::from_parts(Timestamp(8), 1)
}

fn target() -> JobTarget {
    JobTarget::Action {
        connection: connection("acme"),
        action: name("push"),
        input: "{}".to_owned().into(),
    }
}

/// A schedule that has fired once, with its job, and a job of its own.
pub async fn fill(store: &SledStore) {
    let every = ScheduleRule::Every {
        every: "10s".parse().unwrap(),
    };
    let put = PutSchedule {
        id: schedule_id(),
        definition: Definition::new(target(), vec![every]),
        origin: Origin::User,
        revision: None,
        now: Timestamp(5000),
    };
    store.put_schedule(put).await.unwrap();
    assert_eq!(
        store.fire_due(Timestamp(10_000), 10).await.unwrap().len(),
        1
    );
    let job = new_job(job_id(), target());
    tidegate_engine::store::Queue::enqueue(store, job)
        .await
        .unwrap();
}

/// A job that may start from the schedule's first moment on.
pub fn new_job(id: JobId, target: JobTarget) -> NewJob {
    NewJob {
        id,
        target,
        trigger: Trigger::Api,
        fire: None,
        priority: Priority::Normal,
        concurrency: None,
        retry: Retry::default(),
        due_at: Timestamp(10_000),
        expires_at: None,
        idempotency_key: None,
        now: Timestamp(10_000),
    }
}

fn other() -> [u8; 16] {
    ScheduleId::from_parts(Timestamp(7), 99).to_bytes()
}

pub const ROWS: &[Row] = &[
    (
        "a schedule that its connection does not list",
        |raw| raw.remove(&[b"B", ACME, &schedule_id().to_bytes()].concat()),
        "schedules and jobs",
        "lacks it",
    ),
    (
        "a schedule that is listed and not there",
        |raw| raw.put(&[b"B", ACME, &other()].concat(), b""),
        "schedules and jobs",
        "there is no such schedule",
    ),
    (
        "a fire of no schedule",
        |raw| {
            let from = [&b"F"[..], &schedule_id().to_bytes(), &[2, 0x27, 0x10]].concat();
            move_key(
                raw,
                &from,
                &[&b"F"[..], &other(), &[2, 0x27, 0x10]].concat(),
            );
        },
        "schedules and jobs",
        "its row is of",
    ),
    (
        "a job that its connection does not list",
        |raw| raw.remove(&[b"O", ACME, &[0], &job_id().to_bytes()].concat()),
        "schedules and jobs",
        "lacks it",
    ),
    (
        "a job that is listed and not there",
        |raw| raw.put(&[b"O", ACME, &[2], &other()].concat(), b""),
        "schedules and jobs",
        "there is no such job",
    ),
    (
        "a job that its integration does not list",
        |raw| raw.remove(&[&b"Tcrm\0"[..], &[0][..], &job_id().to_bytes()].concat()),
        "schedules and jobs",
        "the list of integration crm lacks it",
    ),
    (
        "a job that is listed as dead and waits",
        |raw| {
            raw.put(
                &[&b"Tcrm\0"[..], &[2][..], &job_id().to_bytes()].concat(),
                b"",
            );
        },
        "schedules and jobs",
        "as something else than queued",
    ),
    (
        "a job that waits and is not marked so",
        |raw| raw.remove(&[&b"Q"[..], &job_id().to_bytes()].concat()),
        "schedules and jobs",
        "not marked as queued",
    ),
];
