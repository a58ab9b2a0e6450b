//! Idempotency keys that jobs hold: who gets which job, when it lets go, and what is kept of it.

use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::idempotency::{KEPT_MS, KeyUse, Keyed, Queued};
use tidegate_engine::job::{Job, JobId, JobTarget, NewJob, Priority, Retry};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, Outcome, RunEnd, RunId, Target};
use tidegate_engine::run::{NewRun, Trigger};
use tidegate_engine::store::Claim;

use super::*;

fn job_id(number: u64) -> JobId {
    JobId::from_parts(Timestamp(number), number.into())
}

fn used(key: &str, input: &str) -> KeyUse {
    KeyUse::new(key.parse().unwrap(), input).unwrap()
}

/// Queue `acme`'s action `create` at the time of the job's number.
async fn queue(
    store: &dyn Store,
    number: u64,
    key: &str,
    input: &str,
) -> Result<Queued, StoreError> {
    let now = Timestamp(number);
    let job = NewJob {
        id: job_id(number),
        target: JobTarget::Action {
            connection: connection("acme"),
            action: name("create"),
            input: input.to_owned().into(),
        },
        trigger: Trigger::Api,
        fire: None,
        priority: Priority::Normal,
        concurrency: None,
        retry: Retry::default(),
        due_at: now,
        expires_at: None,
        idempotency_key: None,
        now,
    };
    store.enqueue_keyed(job, used(key, input)).await
}

#[track_caller]
fn job(queued: Result<Queued, StoreError>) -> Job {
    match queued {
        Ok(Queued::Job(job)) => *job,
        other => panic!("{other:?}"),
    }
}

/// A run of the same action under a key, that somebody waits for.
async fn start(store: &dyn Store, number: u64, key: KeyUse) -> Result<Keyed, StoreError> {
    let target = Target::Action {
        connection: connection("acme"),
        action: name("create"),
    };
    let run: NewRun = new_run(number, target);
    store.start_keyed_run(run, key).await
}

/// Start the job that comes next, as the run of this number, which is its time too.
async fn claim(store: &dyn Store, number: u64) -> (JobId, RunId, Fence) {
    let claim = Claim {
        runs: vec![run_id(number)],
        caps: ConcurrencyLimits::default(),
        now: Timestamp(number),
        lease_until: Timestamp(number + 30_000),
    };
    let claimed = store.claim(claim).await.unwrap().pop().unwrap();
    (claimed.job.id, claimed.run, claimed.started.fence)
}

fn failed(at: u64, class: FailureClass) -> RunEnd {
    RunEnd {
        outcome: Outcome::Failed,
        failure: Some(Failure::new(class, Blame::Upstream, "no")),
        ..end(at)
    }
}

#[track_caller]
fn expect_busy<T: std::fmt::Debug>(answer: Result<T, StoreError>, by: JobId) {
    let by = by.to_string();
    assert!(
        matches!(&answer, Err(StoreError::Busy { by: who, .. }) if *who == by),
        "{answer:?}"
    );
}

async fn expect_sound(store: &dyn Store) {
    assert_eq!(store.check().await.unwrap().findings, []);
}

pub fn a_key_is_one_job_and_its_result_is_kept_for_a_day<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let first = job(queue(store, 10, "k", "{\"a\": 1}").await);
        assert_eq!(
            first.idempotency_key.as_ref().map(|key| key.as_str()),
            Some("k")
        );
        assert!(first.holds_key);
        expect_sound(store).await;
        let same = || async { job(queue(store, 11, "k", "{\"a\":1.0}").await).id };
        assert_eq!(same().await, first.id);
        let other = queue(store, 11, "k", "2").await;
        assert!(
            matches!(&other, Err(StoreError::KeyConflict { by, .. }) if *by == first.id.to_string()),
            "{other:?}"
        );
        expect_busy(start(store, 11, used("k", "{\"a\": 1}")).await, first.id);
        // Nothing of that was stored.
        assert!(store.job(job_id(11)).await.is_err());

        let (id, run, fence) = claim(store, 20).await;
        assert_eq!((id, same().await), (first.id, first.id));
        expect_busy(start(store, 21, used("k", "{\"a\": 1}")).await, first.id);
        assert_eq!(store.job_output(id).await, Ok(None));
        expect_sound(store).await;
        let output = format!("\"{}\"", "x".repeat(50_000));
        let finished = store.finish_keyed_run(run, fence, end(100), output.clone());
        finished.await.unwrap();
        expect_sound(store).await;
        assert_eq!(same().await, first.id);
        assert_eq!(store.job_output(id).await, Ok(Some(output.clone())));
        match start(store, 101, used("k", "{\"a\": 1}")).await {
            Ok(Keyed::Kept(kept)) => {
                assert_eq!((kept.run.id, kept.output), (run, Some(output)));
            }
            other => panic!("{other:?}"),
        }
        // A day later it is as if it had never been.
        let next = job(queue(store, 100 + KEPT_MS, "k", "2").await);
        assert_eq!(next.id, job_id(100 + KEPT_MS));
        assert_eq!(store.job_output(id).await, Ok(None));
        expect_sound(store).await;
    });
}

pub fn what_somebody_waited_for_is_not_queued<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let Ok(Keyed::Started(started)) = start(store, 10, used("k", "1")).await else {
            panic!("it did not start");
        };
        let busy = queue(store, 11, "k", "1").await;
        assert!(matches!(busy, Err(StoreError::Busy { .. })), "{busy:?}");
        let finished = store.finish_keyed_run(run_id(10), started.fence, end(12), "7".to_owned());
        finished.await.unwrap();
        match queue(store, 13, "k", "1").await {
            Ok(Queued::Kept(kept)) => {
                assert_eq!((kept.run.id, kept.output), (run_id(10), Some("7".into())));
            }
            other => panic!("{other:?}"),
        }
        expect_sound(store).await;
    });
}

pub fn a_job_holds_its_key_between_attempts_and_lets_go_when_it_ends<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let first = job(queue(store, 10, "k", "1").await);
        let (_, run, fence) = claim(store, 20).await;
        let transient = failed(30, FailureClass::Transient);
        store.finish_run(run, fence, transient).await.unwrap();
        expect_busy(start(store, 31, used("k", "1")).await, first.id);
        expect_sound(store).await;
        // So does one whose process died.
        let (_, again, _) = claim(store, 100_000).await;
        let why = Failure::new(FailureClass::Internal, Blame::Host, "it died");
        let recovered = store.recover_runs(why, Timestamp(100_001)).await.unwrap();
        assert_eq!(recovered, [again]);
        assert_eq!(job(queue(store, 100_002, "k", "1").await).id, first.id);
        expect_sound(store).await;
        let cancelled = store.cancel_job(first.id, Timestamp(100_003)).await;
        assert_eq!(cancelled.unwrap().state.as_str(), "cancelled");
        expect_sound(store).await;

        // Another one takes it, is rejected, and keeps that.
        let second = job(queue(store, 100_004, "k", "1").await);
        assert_eq!(second.id, job_id(100_004));
        let (_, run, fence) = claim(store, 100_005).await;
        let rejected = failed(100_006, FailureClass::Rejected);
        store.finish_run(run, fence, rejected).await.unwrap();
        assert_eq!(job(queue(store, 100_007, "k", "1").await).id, second.id);
        // Whoever gives it up changes nothing of that.
        store
            .discard_job(second.id, Timestamp(100_008))
            .await
            .unwrap();
        assert_eq!(job(queue(store, 100_009, "k", "1").await).id, second.id);
        expect_sound(store).await;
    });
}

pub fn a_dead_job_is_queued_again_only_with_its_key<B: Backend>(backend: &B) {
    on_both(backend, async |store| {
        let first = job(queue(store, 10, "k", "1").await);
        let (_, run, fence) = claim(store, 20).await;
        let config = failed(30, FailureClass::Config);
        store.finish_run(run, fence, config.clone()).await.unwrap();
        store.redrive_job(first.id, Timestamp(31)).await.unwrap();
        expect_busy(start(store, 32, used("k", "1")).await, first.id);
        expect_sound(store).await;
        let (_, run, fence) = claim(store, 33).await;
        store.finish_run(run, fence, config).await.unwrap();

        let second = job(queue(store, 40, "k", "1").await);
        assert_ne!(second.id, first.id);
        expect_busy(store.redrive_job(first.id, Timestamp(41)).await, second.id);
        assert_eq!(
            store.job(first.id).await.unwrap().state.as_str(),
            "dead",
            "it stays as it was"
        );
        store.cancel_job(second.id, Timestamp(50)).await.unwrap();
        // A day later the key is nobody's.
        let later = 51 + KEPT_MS;
        store.redrive_job(first.id, Timestamp(later)).await.unwrap();
        expect_busy(start(store, later + 1, used("k", "1")).await, first.id);
        expect_sound(store).await;
    });
}
