//! Who is next: priorities, fairness between connections, and limits.

use std::collections::BTreeMap;

use futures::executor::block_on;
use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_engine::board::{Board, ConcurrencyLimits};
use tidegate_engine::job::{
    ConcurrencyKey, Job, JobId, JobState, JobTarget, NewJob, Priority, Retry,
};
use tidegate_engine::limits::{ACTIVE_JOBS, SCHEDULE_PAYLOAD_BYTES, SCHEDULES};
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome, RunId, Trigger};
use tidegate_engine::schedule::{Definition, Origin, ScheduleId};
use tidegate_engine::store::parts::*;
use tidegate_engine::{StoreError, Timestamp};

use crate::host::{HOUR, Host, MINUTE, SECOND, action_of, every};

pub(crate) fn new_job(number: u128, target: JobTarget, now: Timestamp) -> NewJob {
    NewJob {
        id: JobId::from_parts(now, number),
        target,
        trigger: Trigger::Api,
        fire: None,
        priority: Priority::Normal,
        concurrency: None,
        retry: Retry::default(),
        due_at: now,
        expires_at: None,
        idempotency_key: None,
        now,
    }
}

#[test]
fn ten_thousand_jobs_of_one_do_not_starve_the_one_of_another() {
    let mut host = Host::new("2028-05-01T00:00:00Z", &["large", "small"]);
    for number in 0..10_000 {
        let job = new_job(number, action_of("large"), host.now);
        block_on(host.store.enqueue(job)).unwrap();
    }
    host.now = Timestamp(host.now.0 + 5 * SECOND);
    let job = new_job(20_000, action_of("small"), host.now);
    block_on(host.store.enqueue(job)).unwrap();
    // A single worker: the small one's turn comes after a handful.
    let caps = ConcurrencyLimits {
        total: 1,
        ..ConcurrencyLimits::default()
    };
    let mut before = 0;
    loop {
        let claimed = host.claim(1, caps).remove(0);
        host.succeed(&claimed);
        if claimed.job.target.connection().connection.as_str() == "small" {
            break;
        }
        before += 1;
    }
    assert!(before <= 6, "{before} went before it");
}

#[test]
fn a_job_that_waits_too_long_expires() {
    let mut host = Host::new("2028-05-01T00:00:00Z", &["acme"]);
    let mut job = new_job(1, action_of("acme"), host.now);
    job.expires_at = Some(Timestamp(host.now.0 + 10 * SECOND));
    block_on(host.store.enqueue(job)).unwrap();
    assert_eq!(
        block_on(host.store.next_due(host.now)).unwrap(),
        Some(Timestamp(host.now.0 + 10 * SECOND))
    );
    host.now = Timestamp(host.now.0 + 10 * SECOND);
    let why = tidegate_engine::run::Failure::new(
        tidegate_engine::run::FailureClass::Internal,
        tidegate_engine::run::Blame::Host,
        "its lease ended",
    );
    block_on(host.store.reap(why, host.now)).unwrap();
    assert_eq!(
        host.jobs()[0].state,
        tidegate_engine::job::JobState::Expired
    );
    assert!(host.claim(1, ConcurrencyLimits::default()).is_empty());
}

#[test]
fn a_job_that_has_run_does_not_expire() {
    let rows = [
        (Outcome::Failed, FailureClass::Transient),
        (Outcome::Interrupted, FailureClass::Limit),
        (Outcome::Interrupted, FailureClass::Internal),
    ];
    for (outcome, class) in rows {
        let mut host = Host::new("2028-05-01T00:00:00Z", &["acme"]);
        let mut job = new_job(1, action_of("acme"), host.now);
        job.expires_at = Some(Timestamp(host.now.0 + SECOND));
        block_on(host.store.enqueue(job)).unwrap();
        let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
        let why = Failure::new(class, Blame::Upstream, "not now");
        host.end(&claimed, outcome, Some(why.clone()));
        host.now = Timestamp(host.now.0 + 10 * SECOND);
        block_on(host.store.reap(why, host.now)).unwrap();
        assert_eq!(host.jobs()[0].state, JobState::Queued, "{outcome:?}");
        let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
        assert_eq!(host.succeed(&claimed).state, JobState::Succeeded);
    }
}

/// The place of a job of `acme` that is queued now.
fn place_of_another(host: &Host, number: u128, priority: Priority) -> u64 {
    let mut job = new_job(number, action_of("acme"), host.now);
    job.priority = priority;
    block_on(host.store.enqueue(job)).unwrap().place
}

#[test]
fn what_waits_for_its_time_or_is_less_urgent_takes_nobodys_place() {
    let mut host = Host::new("2028-05-01T00:00:00Z", &["acme"]);
    // An hour until its source wants to hear of it again.
    place_of_another(&host, 1, Priority::Normal);
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    let mut why = Failure::new(
        FailureClass::Transient,
        Blame::Upstream,
        "too many requests",
    );
    why.retry_after_ms = Some(HOUR);
    let job = host.end(&claimed, Outcome::Failed, Some(why));
    assert_eq!(job.place, host.now.0 + HOUR, "of its own time");
    // And a backfill.
    for number in 2..102 {
        place_of_another(&host, number, Priority::Low);
    }
    let now = host.now.0;
    let place = place_of_another(&host, 200, Priority::Normal);
    assert_eq!(place, now, "nobody is before it");
    let place = place_of_another(&host, 201, Priority::Normal);
    assert_eq!(place, now + SECOND, "a step behind its like");
    assert_eq!(place_of_another(&host, 202, Priority::High), now);
    assert_eq!(
        place_of_another(&host, 203, Priority::Low),
        now + 100 * SECOND
    );
    // Once its time has come, it counts.
    host.now = Timestamp(now + HOUR);
    let place = place_of_another(&host, 204, Priority::Normal);
    assert_eq!(place, host.now.0 + SECOND);
}

#[test]
fn jobs_that_are_tried_again_at_once_take_places_apart() {
    let mut host = Host::new("2028-05-01T00:00:00Z", &["acme"]);
    let caps = ConcurrencyLimits {
        total: 5_000,
        per_integration: 5_000,
        per_connection: 5_000,
    };
    for number in 0..5_000 {
        place_of_another(&host, number, Priority::Normal);
    }
    let claimed = host.claim(5_000, caps);
    for claimed in &claimed {
        let mut why = Failure::new(FailureClass::Transient, Blame::Upstream, "it is down");
        why.retry_after_ms = Some(MINUTE);
        host.end(claimed, Outcome::Failed, Some(why));
    }
    let due = host.now.0 + MINUTE;
    let mut places: Vec<u64> = host.jobs().iter().map(|job| job.place).collect();
    places.sort_unstable();
    let apart: Vec<u64> = (0..5_000).map(|n| due + n * SECOND).collect();
    assert_eq!(places, apart);
}

#[test]
fn what_is_over_a_limit_is_refused_and_changes_nothing() {
    let now = Timestamp(1_000_000);
    let mut board = Board::default();
    for number in 0..u128::from(ACTIVE_JOBS) {
        board
            .enqueue(new_job(number, action_of("acme"), now))
            .unwrap();
    }
    let one_more = board.enqueue(new_job(1 << 70, action_of("acme"), now));
    assert!(
        matches!(
            one_more,
            Err(StoreError::Full {
                limit: "active_jobs",
                ..
            })
        ),
        "{one_more:?}"
    );
    assert_eq!(board.active_jobs().count() as u64, ACTIVE_JOBS);

    let put = |board: &mut Board, number: u128, definition: Definition| {
        let id = ScheduleId::from_parts(now, number);
        board.put_schedule(id, definition, Origin::User, None, now)
    };
    let hourly = || Definition::new(action_of("acme"), vec![every("1h")]);
    let mut board = Board::default();
    for number in 0..u128::from(SCHEDULES) {
        put(&mut board, number, hourly()).unwrap();
    }
    let one_more = put(&mut board, 1 << 70, hourly());
    assert!(
        matches!(
            one_more,
            Err(StoreError::Full {
                limit: "schedules",
                ..
            })
        ),
        "{one_more:?}"
    );

    let mut board = Board::default();
    for (bytes, fits) in [
        (SCHEDULE_PAYLOAD_BYTES, true),
        (SCHEDULE_PAYLOAD_BYTES + 1, false),
    ] {
        let mut definition = hourly();
        let text = "x".repeat(usize::try_from(bytes).unwrap() - 2);
        definition.target = JobTarget::Action {
            connection: crate::host::connection("acme"),
            action: "push".parse().unwrap(),
            input: format!("\"{text}\"").into(),
        };
        assert_eq!(
            put(&mut board, u128::from(bytes), definition).is_ok(),
            fits,
            "{bytes}"
        );
    }
}

/// What may start next, found by looking at everything: the first by priority, place and id that no limit
/// holds back.
fn naive(
    jobs: &BTreeMap<JobId, Job>,
    running: &[JobId],
    caps: ConcurrencyLimits,
    now: Timestamp,
) -> Option<JobId> {
    let of = |id: &JobId| &jobs[id];
    if running.len() >= caps.total as usize {
        return None;
    }
    let mut waiting: Vec<&Job> = jobs
        .values()
        .filter(|job| !running.contains(&job.id) && job.due_at <= now)
        .collect();
    waiting.sort_by_key(|job| (job.priority, job.place, job.id));
    let may = |job: &&&Job| {
        let key = job.target.connection();
        let connection = running
            .iter()
            .filter(|id| of(id).target.connection() == key)
            .count();
        let integration = running
            .iter()
            .filter(|id| of(id).target.connection().integration == key.integration)
            .count();
        let sync = job.target.sync();
        let busy = sync.is_some() && running.iter().any(|id| of(id).target.sync() == sync);
        let full = job.concurrency.as_ref().is_some_and(|wanted| {
            let same = running.iter().filter(|id| {
                of(id)
                    .concurrency
                    .as_ref()
                    .is_some_and(|key| key.key == wanted.key)
            });
            same.count() >= wanted.max as usize
        });
        connection < caps.per_connection as usize
            && integration < caps.per_integration as usize
            && !busy
            && !full
    };
    waiting.iter().find(may).map(|job| job.id)
}

#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        integration: u8,
        connection: u8,
        sync: Option<u8>,
        priority: u8,
        key: Option<u8>,
        due: u64,
    },
    Claim {
        total: u32,
        per_integration: u32,
        per_connection: u32,
    },
    End {
        which: usize,
    },
    Later {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..2, 0u8..3, prop::option::of(0u8..2), 0u8..3, prop::option::of(0u8..2), 0u64..3_000)
            .prop_map(|(integration, connection, sync, priority, key, due)| Step::Enqueue { integration, connection, sync, priority, key, due }),
        5 => (1u32..6, 1u32..4, 1u32..4).prop_map(|(total, per_integration, per_connection)| Step::Claim { total, per_integration, per_connection }),
        3 => (0usize..8).prop_map(|which| Step::End { which }),
        2 => (0u64..2_000).prop_map(|ms| Step::Later { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_looking_at_everything_finds(steps in vec(step(), 1..120)) {
        let mut board = Board::default();
        let mut jobs: BTreeMap<JobId, Job> = BTreeMap::new();
        let mut running: Vec<JobId> = Vec::new();
        let mut now = Timestamp(1_000_000);
        let mut number = 0u128;
        for step in steps {
            number += 1;
            match step {
                Step::Enqueue { integration, connection, sync, priority, key, due } => {
                    let connection = tidegate_engine::ConnectionKey {
                        integration: format!("i{integration}").parse().unwrap(),
                        connection: format!("c{connection}").parse().unwrap(),
                    };
                    let target = match sync {
                        // Each its own way, so that none is taken for another that waits.
                        Some(sync) => JobTarget::Sync {
                            connection,
                            sync: format!("s{sync}").parse().unwrap(),
                            variant: tidegate_engine::Name::base_variant(),
                            reset: false,
                            empty: false,
                            allow_deletes: false,
                        },
                        None => JobTarget::Action { connection, action: "push".parse().unwrap(), input: "{}".to_owned().into() },
                    };
                    let mut new = new_job(number, target, now);
                    new.priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(priority)];
                    new.concurrency = key.map(|key| ConcurrencyKey { key: format!("k{key}"), max: u32::from(key) + 1 });
                    new.due_at = Timestamp(now.0 + due);
                    let (job, _) = board.enqueue(new).unwrap();
                    jobs.insert(job.id, job);
                }
                Step::Claim { total, per_integration, per_connection } => {
                    let caps = ConcurrencyLimits { total, per_integration, per_connection };
                    let wanted = naive(&jobs, &running, caps, now);
                    let run = RunId::from_parts(now, number);
                    prop_assert_eq!(board.candidate(caps, now), wanted);
                    let found = board.claim(run, caps, now, now).map(|job| job.id);
                    prop_assert_eq!(found, wanted);
                    running.extend(found);
                    if let Some(id) = found {
                        jobs.insert(id, board.active_job(id).unwrap().clone());
                    }
                }
                Step::End { which } => {
                    if which < running.len() {
                        let id = running.remove(which);
                        let job = jobs.remove(&id).unwrap();
                        let end = tidegate_engine::run::RunEnd {
                            at: now,
                            outcome: tidegate_engine::run::Outcome::Success,
                            failure: None,
                            figures: Default::default(),
                        };
                        board.settle(id, job.run.unwrap(), end, 0).unwrap();
                    }
                }
                Step::Later { ms } => now = Timestamp(now.0 + ms),
            }
        }
    }
}
