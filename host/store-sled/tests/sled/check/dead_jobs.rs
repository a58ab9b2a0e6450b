//! Jobs that can't be started because something that they need is damaged: they end, and all else goes on.

use tidegate_engine::Timestamp;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::job::{JobId, JobState, JobTarget};
use tidegate_engine::run::{Blame, FailureClass};
use tidegate_engine::schedule::{Definition, Origin, Pause, ScheduleId, ScheduleRule};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Claim, Claimed, JobFilter, PutSchedule};
use tidegate_store_sled::SledStore;

use super::damage::{Break, sync_key};
use super::raw::Raw;
use super::{expect_clean, work_rows};
use crate::common::*;

fn contacts_of(connection_name: &str, reset: bool) -> JobTarget {
    JobTarget::Sync {
        connection: connection(connection_name),
        sync: name("contacts"),
        variant: name("base"),
        reset,
        empty: false,
        allow_deletes: false,
    }
}

fn schedule_id() -> ScheduleId {
    ScheduleId::from_parts(Timestamp(7), 1)
}

fn job_id(number: u64) -> JobId {
    JobId::from_parts(Timestamp(number), 1)
}

/// Two jobs that wait: first that of a schedule, of a sync of `acme` with a long checkpoint; then one of `bolt`.
async fn fill(store: &SledStore) {
    set_up(store).await;
    let (run, fence) = start(store, 1).await;
    let mut saved = commit(vec![page("Contact", &[("a", "{}")], &[])], 1);
    saved.checkpoint = Some(format!("\"{}\"", "c".repeat(9000)));
    store.commit_page(run, fence, saved).await.unwrap();
    store.finish_run(run, fence, end(2)).await.unwrap();

    let every = ScheduleRule::Every {
        every: "10s".parse().unwrap(),
    };
    let mut definition = Definition::new(contacts_of("acme", false), vec![every]);
    definition.pause_on_failures = Some(1);
    let put = PutSchedule {
        id: schedule_id(),
        definition,
        origin: Origin::User,
        revision: None,
        now: Timestamp(5000),
    };
    store.put_schedule(put).await.unwrap();
    let fired = store.fire_due(Timestamp(10_000), 10).await.unwrap();
    assert_eq!(fired.len(), 1);
    let bolt = work_rows::new_job(job_id(20_000), contacts_of("bolt", false));
    store.enqueue(bolt).await.unwrap();
}

/// Start two jobs at most.
async fn claim(store: &SledStore, now: u64) -> Vec<Claimed> {
    let claim = Claim {
        runs: vec![run_id(now), run_id(now + 1)],
        caps: ConcurrencyLimits::default(),
        now: Timestamp(now),
        lease_until: Timestamp(now + 30_000),
    };
    store.claim(claim).await.unwrap()
}

fn change_the_checkpoint(raw: &Raw) {
    let parts = raw.keys(b"z");
    assert_eq!(
        parts.len(),
        2,
        "of the checkpoint, and nothing else is long"
    );
    let mut part = raw.db.get(&parts[0]).unwrap().unwrap().to_vec();
    part[7] ^= 1;
    raw.db.insert(&parts[0], part).unwrap();
}

#[test]
fn a_job_that_needs_what_is_damaged_is_dead_and_the_others_go_on() {
    // (what is damaged, what is said of it, whether to begin anew helps)
    let rows: &[(Break, &str, bool)] = &[
        (change_the_checkpoint, "does not have its checksum", true),
        (
            |raw| raw.put(&sync_key("contacts"), b"{"),
            "not the JSON",
            false,
        ),
    ];
    for (damage, says, anew_helps) in rows {
        let dir = tempfile::tempdir().unwrap();
        block_on(async {
            let store = open(dir.path());
            fill(&store).await;
            store.close().await.unwrap();
        });
        let raw = Raw::open(dir.path());
        damage(&raw);
        raw.close();

        let dead = block_on(async {
            let store = open(dir.path());
            let claimed = claim(&store, 20_000).await;
            let targets: Vec<&JobTarget> = claimed.iter().map(|one| &one.job.target).collect();
            assert_eq!(targets, [&contacts_of("bolt", false)], "{says}");

            let filter = JobFilter {
                schedule: Some(schedule_id()),
                limit: 10,
                ..JobFilter::default()
            };
            let dead = store.jobs(filter).await.unwrap().remove(0);
            assert_eq!((&dead.state, dead.run), (&JobState::Dead, None));
            let failure = dead.failure.as_ref().unwrap();
            let whose = (failure.class, failure.blame);
            assert_eq!(whose, (FailureClass::Internal, Blame::Host));
            assert!(failure.message.contains(says), "{failure:?}");
            let progress = store.schedule(schedule_id()).await.unwrap().progress;
            assert_eq!((progress.failures, progress.paused.is_some()), (1, true));

            // What has started goes on.
            let (run, fence) = (claimed[0].run, claimed[0].started.fence);
            let saved = commit(vec![page("Contact", &[("b", "{}")], &[])], 20_001);
            store.commit_page(run, fence, saved).await.unwrap();
            store.finish_run(run, fence, end(20_002)).await.unwrap();
            store.close().await.unwrap();
            dead
        });

        block_on(async {
            let store = open(dir.path());
            assert_eq!(claim(&store, 30_000).await, []);
            assert_eq!(store.job(dead.id).await.unwrap(), dead);
            let anew = work_rows::new_job(job_id(30_000), contacts_of("acme", true));
            store.enqueue(anew).await.unwrap();
            let claimed = claim(&store, 40_000).await;
            assert_eq!(claimed.len(), usize::from(*anew_helps), "{says}");
            if *anew_helps {
                assert_eq!(claimed[0].started.checkpoint, None);
                expect_clean(&store.check().await.unwrap());
            }
            store.close().await.unwrap();
        });
    }
}

#[test]
fn schedules_of_a_damaged_connection_are_idle_and_the_others_fire() {
    let dir = tempfile::tempdir().unwrap();
    let other = ScheduleId::from_parts(Timestamp(7), 2);
    block_on(async {
        let store = open(dir.path());
        fill(&store).await;
        let every = ScheduleRule::Every {
            every: "10s".parse().unwrap(),
        };
        let put = PutSchedule {
            id: other,
            definition: Definition::new(contacts_of("bolt", false), vec![every]),
            origin: Origin::User,
            revision: None,
            now: Timestamp(5000),
        };
        store.put_schedule(put).await.unwrap();
        store.close().await.unwrap();
    });
    let raw = Raw::open(dir.path());
    raw.put(b"ccrm\0acme\0", b"{");
    raw.close();

    block_on(async {
        let store = open(dir.path());
        let notes = store.notes().join(" ");
        assert!(notes.contains("1 schedules are never due"), "{notes}");
        for now in [20_000, 30_000] {
            let fired = store.fire_due(Timestamp(now), 10).await.unwrap();
            let fired: Vec<ScheduleId> = fired.iter().map(|fired| fired.schedule).collect();
            assert_eq!(fired, [other], "{now}");
        }
        // It can still be looked at and paused.
        let pause = Pause {
            at: Timestamp(30_000),
            note: "its connection is damaged".into(),
            until: None,
            failures: None,
        };
        let paused = store.pause_schedule(schedule_id(), pause).await.unwrap();
        assert!(paused.progress.paused.is_some());
        store.close().await.unwrap();
    });
}
