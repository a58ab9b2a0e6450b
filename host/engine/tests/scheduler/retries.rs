//! What becomes of a job whose run did not succeed: tried again, gone on with, dead.

use futures::executor::block_on;
use tidegate_engine::Timestamp;
use tidegate_engine::board::Caps;
use tidegate_engine::job::{JobState, LOST_MAX};
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};
use tidegate_engine::schedule::Definition;
use tidegate_engine::store::{Claimed, Commit, Jobs, Schedules};
use tidegate_engine::{Store, StoreError};

use crate::host::{HOUR, Host, MINUTE, SECOND, every, sync_of};

fn failure(class: FailureClass) -> Failure {
    Failure::new(class, Blame::Upstream, "it did not work")
}

/// A host with one job claimed, of a schedule that pauses after two failures.
fn claimed() -> (Host, Claimed) {
    let mut host = Host::new("2028-05-01T00:00:30Z", &["acme"]);
    let mut definition = Definition::new(sync_of("acme", "contacts"), vec![every("1d")]);
    definition.pause_on_failures = Some(2);
    host.put(definition);
    host.now = Timestamp(host.now.0 + 24 * HOUR);
    host.fire();
    let claimed = host.claim(1, Caps::default()).remove(0);
    (host, claimed)
}

/// Store a checkpoint.
fn advance(host: &Host, claimed: &Claimed, checkpoint: u32) {
    let commit = Commit {
        checkpoint: Some(format!("{checkpoint}")),
        now: host.now,
        ..Commit::default()
    };
    block_on(
        host.store
            .commit_page(claimed.run, claimed.started.fence, commit),
    )
    .unwrap();
}

#[test]
fn what_may_pass_is_tried_again_ever_more_slowly() {
    let (mut host, mut claimed) = claimed();
    // Of 5 s, 10 s, 20 s and 40 s, a fifth less to a fifth more.
    for (attempt, wait) in [(1, 5), (2, 10), (3, 20), (4, 40)] {
        let job = host.end(
            &claimed,
            Outcome::Failed,
            Some(failure(FailureClass::Transient)),
        );
        assert_eq!((&job.state, job.attempts), (&JobState::Queued, attempt));
        let waits = job.due_at.since(host.now);
        assert!(
            (wait * 800..=wait * 1200).contains(&waits),
            "attempt {attempt} waits {waits} ms"
        );
        assert!(
            host.claim(1, Caps::default()).is_empty(),
            "not before its time"
        );
        host.now = job.due_at;
        claimed = host.claim(1, Caps::default()).remove(0);
        assert_eq!(claimed.job.attempts, attempt);
    }
    let job = host.end(
        &claimed,
        Outcome::Failed,
        Some(failure(FailureClass::Transient)),
    );
    assert_eq!((job.state, job.attempts), (JobState::Dead, 5));
}

#[test]
fn what_the_source_asks_for_is_the_least() {
    let (host, claimed) = claimed();
    let mut asked = failure(FailureClass::Transient);
    asked.retry_after_ms = Some(10 * MINUTE);
    let job = host.end(&claimed, Outcome::Failed, Some(asked));
    assert_eq!(job.due_at.since(host.now), 10 * MINUTE);
}

#[test]
fn each_class_has_its_way() {
    let rows = [
        (Outcome::Success, None, JobState::Succeeded),
        (
            Outcome::Failed,
            Some(FailureClass::Transient),
            JobState::Queued,
        ),
        (
            Outcome::Failed,
            Some(FailureClass::Internal),
            JobState::Queued,
        ),
        (Outcome::Failed, Some(FailureClass::Auth), JobState::Dead),
        (Outcome::Failed, Some(FailureClass::Config), JobState::Dead),
        (
            Outcome::Failed,
            Some(FailureClass::Rejected),
            JobState::Dead,
        ),
        (Outcome::Failed, Some(FailureClass::Trap), JobState::Dead),
        (Outcome::Failed, Some(FailureClass::Limit), JobState::Dead),
        (Outcome::Failed, Some(FailureClass::Refused), JobState::Dead),
        (
            Outcome::Cancelled,
            Some(FailureClass::Other),
            JobState::Cancelled,
        ),
        (
            Outcome::Interrupted,
            Some(FailureClass::Limit),
            JobState::Queued,
        ),
        (
            Outcome::Interrupted,
            Some(FailureClass::Internal),
            JobState::Queued,
        ),
    ];
    for (outcome, class, state) in rows {
        let (host, claimed) = claimed();
        let job = host.end(&claimed, outcome, class.map(failure));
        assert_eq!(job.state, state, "{outcome:?} {class:?}");
    }
}

#[test]
fn what_advances_goes_on_at_once_and_what_stands_is_a_stall() {
    let (mut host, mut claimed) = claimed();
    for checkpoint in 0..20 {
        advance(&host, &claimed, checkpoint);
        let job = host.end(
            &claimed,
            Outcome::Interrupted,
            Some(failure(FailureClass::Limit)),
        );
        assert_eq!(
            (&job.state, job.attempts, job.due_at),
            (&JobState::Queued, 0, host.now)
        );
        claimed = host.claim(1, Caps::default()).remove(0);
        assert_eq!(
            claimed.started.checkpoint.as_deref(),
            Some(format!("{checkpoint}").as_str())
        );
    }
    // It commits, and comes to where it was: it began anew.
    advance(&host, &claimed, 5);
    advance(&host, &claimed, 19);
    let job = host.end(
        &claimed,
        Outcome::Interrupted,
        Some(failure(FailureClass::Limit)),
    );
    assert_eq!(
        (job.state, job.outcome),
        (JobState::Dead, Some(Outcome::Stalled))
    );
    let run = block_on(host.store.run(claimed.run)).unwrap();
    assert_eq!(
        run.end.unwrap().outcome,
        Outcome::Stalled,
        "the run says so too"
    );
}

#[test]
fn a_job_that_kills_its_host_does_not_do_so_for_ever() {
    let (mut host, mut claimed) = claimed();
    let why = failure(FailureClass::Internal);
    for lost in 1..LOST_MAX {
        block_on(host.store.recover_runs(why.clone(), host.now)).unwrap();
        let job = host.job(&claimed);
        assert_eq!(
            (&job.state, job.lost, job.attempts),
            (&JobState::Queued, lost, 0)
        );
        claimed = host.claim(1, Caps::default()).remove(0);
    }
    block_on(host.store.recover_runs(why, host.now)).unwrap();
    let job = host.job(&claimed);
    assert_eq!(
        (job.state, job.outcome),
        (JobState::Dead, Some(Outcome::Stalled))
    );
    let run = block_on(host.store.run(claimed.run)).unwrap();
    let outcome = run.end.unwrap().outcome;
    assert_eq!(outcome, Outcome::Stalled, "which alerts people");
}

#[test]
fn a_lease_that_ends_is_taken_over_and_the_first_can_write_no_more() {
    let (mut host, first) = claimed();
    let held = vec![(first.run, first.started.fence)];
    host.now = Timestamp(host.now.0 + 20 * SECOND);
    let until = Timestamp(host.now.0 + 30 * SECOND);
    assert_eq!(
        block_on(host.store.heartbeat(held.clone(), until)).unwrap(),
        []
    );
    host.now = Timestamp(host.now.0 + 29 * SECOND);
    assert_eq!(
        block_on(host.store.reap(failure(FailureClass::Internal), host.now)).unwrap(),
        []
    );
    host.now = Timestamp(host.now.0 + SECOND);
    let reaped = block_on(host.store.reap(failure(FailureClass::Internal), host.now)).unwrap();
    assert_eq!(reaped, [first.run]);
    let second = host.claim(1, Caps::default()).remove(0);
    assert_eq!(second.job.id, first.job.id);
    let commit = Commit {
        checkpoint: Some("1".into()),
        now: host.now,
        ..Commit::default()
    };
    let late = block_on(
        host.store
            .commit_page(first.run, first.started.fence, commit),
    );
    assert_eq!(late, Err(StoreError::Fenced { run: first.run }));
    assert_eq!(
        block_on(host.store.heartbeat(held, until)).unwrap(),
        [first.run],
        "and is told so"
    );
    host.succeed(&second);
}

#[test]
fn a_schedule_that_only_fails_pauses() {
    let (mut host, claimed) = claimed();
    let schedule = claimed.job.fire.unwrap().schedule;
    host.end(&claimed, Outcome::Failed, Some(failure(FailureClass::Auth)));
    assert!(host.schedule(schedule).progress.paused.is_none());
    host.now = Timestamp(host.now.0 + 24 * HOUR);
    host.fire();
    let claimed = host.claim(1, Caps::default()).remove(0);
    host.end(&claimed, Outcome::Failed, Some(failure(FailureClass::Auth)));
    let progress = host.schedule(schedule).progress;
    assert_eq!(progress.paused.unwrap().failures, Some(2));
    assert_eq!(progress.next, None);
    block_on(host.store.resume_schedule(schedule, host.now)).unwrap();
    assert_eq!(host.schedule(schedule).progress.failures, 0);
}

#[test]
fn dead_jobs_are_redriven_or_discarded() {
    let (mut host, claimed) = claimed();
    let id = claimed.job.id;
    let early = block_on(host.store.redrive_job(id, host.now));
    assert!(matches!(early, Err(StoreError::State { .. })), "{early:?}");
    host.end(
        &claimed,
        Outcome::Failed,
        Some(failure(FailureClass::Config)),
    );
    let job = block_on(host.store.redrive_job(id, host.now)).unwrap();
    assert_eq!((&job.state, job.attempts), (&JobState::Queued, 0));
    let claimed = host.claim(1, Caps::default()).remove(0);
    host.end(
        &claimed,
        Outcome::Failed,
        Some(failure(FailureClass::Config)),
    );
    assert_eq!(
        block_on(host.store.discard_job(id, host.now))
            .unwrap()
            .state,
        JobState::Discarded
    );
    assert!(block_on(host.store.redrive_job(id, host.now)).is_err());
}
