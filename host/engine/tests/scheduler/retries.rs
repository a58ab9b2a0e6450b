//! What becomes of a job whose run did not succeed: tried again, gone on with, dead.

use futures::executor::block_on;
use tidegate_engine::StoreError;
use tidegate_engine::Timestamp;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::health::Hold;
use tidegate_engine::job::{ATTEMPTS_IN_ALL_MAX, JobState, LOST_MAX};
use tidegate_engine::limits::RETRY_AFTER_MAX_MS;
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};
use tidegate_engine::schedule::{Definition, FireOutcome};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Claimed, Commit};

use crate::host::{HOUR, Host, MINUTE, SECOND, connection, every, sync_of};

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
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
            host.claim(1, ConcurrencyLimits::default()).is_empty(),
            "not before its time"
        );
        host.now = job.due_at;
        claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
    let job = host.end(&claimed, Outcome::Failed, Some(asked.clone()));
    assert_eq!(job.due_at.since(host.now), 10 * MINUTE);
    // A wrong date does not delay it for longer than that is believed.
    for absurd in [24 * HOUR, u64::MAX] {
        let (host, claimed) = self::claimed();
        asked.retry_after_ms = Some(absurd);
        let job = host.end(&claimed, Outcome::Failed, Some(asked.clone()));
        assert_eq!(job.due_at.since(host.now), RETRY_AFTER_MAX_MS);
    }
}

#[test]
fn whoever_gets_on_is_not_given_up() {
    let (mut host, mut claimed) = claimed();
    let transient = || Some(failure(FailureClass::Transient));
    let next = |host: &mut Host, claimed: &mut Claimed, checkpoint: Option<u32>| {
        if let Some(checkpoint) = checkpoint {
            advance(host, claimed, checkpoint);
        }
        let job = host.end(claimed, Outcome::Failed, transient());
        if job.state == JobState::Queued {
            host.now = job.due_at;
            *claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
        }
        job
    };
    // Twenty attempts, each of which stored something, and waits no longer than the first.
    for checkpoint in 0..20 {
        let before = host.now;
        let job = next(&mut host, &mut claimed, Some(checkpoint));
        assert_eq!((&job.state, job.fruitless), (&JobState::Queued, 1));
        assert!(job.due_at.since(before) <= 6 * SECOND);
    }
    // Then it gets no further: the row begins at the last one that did.
    for fruitless in 2..5 {
        let job = next(&mut host, &mut claimed, None);
        assert_eq!((&job.state, job.fruitless), (&JobState::Queued, fruitless));
    }
    // One that stores the checkpoint of before gets no further either.
    let job = next(&mut host, &mut claimed, Some(19));
    assert_eq!((job.state, job.attempts), (JobState::Dead, 24));
}

#[test]
fn one_whose_checkpoint_changes_for_nothing_ends_all_the_same() {
    let (mut host, mut claimed) = claimed();
    for checkpoint in 1..=ATTEMPTS_IN_ALL_MAX {
        advance(&host, &claimed, checkpoint);
        let job = host.end(
            &claimed,
            Outcome::Failed,
            Some(failure(FailureClass::Transient)),
        );
        if job.state == JobState::Dead {
            assert_eq!(job.attempts, ATTEMPTS_IN_ALL_MAX);
            return;
        }
        host.now = job.due_at;
        claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    }
    panic!("it would go on for ever");
}

#[test]
fn credentials_have_a_second_opinion_and_then_stop_their_schedule() {
    let (mut host, mut claimed) = claimed();
    let schedule = claimed.job.fire.unwrap().schedule;
    let refuse = |host: &Host, claimed: &Claimed| {
        host.end(claimed, Outcome::Failed, Some(failure(FailureClass::Auth)))
    };
    let job = refuse(&host, &claimed);
    assert_eq!(
        (&job.state, job.due_at.since(host.now)),
        (&JobState::Queued, MINUTE)
    );
    host.now = job.due_at;
    claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    assert_eq!(refuse(&host, &claimed).state, JobState::Dead);
    // Nothing is fired any more, and it is said why.
    for day in 1..4 {
        host.now = Timestamp(host.now.0 + 24 * HOUR);
        host.fire();
        assert!(host.claim(1, ConcurrencyLimits::default()).is_empty());
        assert_eq!(host.schedule(schedule).progress.held, day);
    }
    let reason = Hold::AuthFailed;
    let held = host.fires(schedule);
    let held = held
        .values()
        .filter(|outcome| **outcome == FireOutcome::Held { reason });
    assert_eq!(held.count(), 3);
    // A redrive is by hand: it runs, and its success lifts the hold.
    block_on(host.store.redrive_job(claimed.job.id, host.now)).unwrap();
    claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    host.succeed(&claimed);
    host.now = Timestamp(host.now.0 + 24 * HOUR);
    host.fire();
    assert_eq!(host.claim(1, ConcurrencyLimits::default()).len(), 1);
}

#[test]
fn what_can_not_work_is_held_until_it_is_changed() {
    // (what the operator does, whether fires go on then)
    type Change = fn(&Host);
    let tag: Change = |host| {
        let mut acme = block_on(host.store.connection(&connection("acme"))).unwrap();
        acme.tags.insert("plan".to_owned(), "pro".to_owned());
        assert_eq!(
            block_on(host.store.update_connections(vec![acme])).unwrap(),
            [true]
        );
    };
    let lift: Change = |host| {
        let mut acme = block_on(host.store.connection(&connection("acme"))).unwrap();
        acme.health = acme.health.without(None).unwrap();
        assert_eq!(
            block_on(host.store.update_connections(vec![acme])).unwrap(),
            [true]
        );
    };
    for (change, goes_on) in [(tag, false), (lift, true)] {
        let (mut host, claimed) = claimed();
        let dead = host.end(
            &claimed,
            Outcome::Failed,
            Some(failure(FailureClass::Config)),
        );
        assert_eq!(dead.state, JobState::Dead, "it is not tried twice");
        change(&host);
        host.now = Timestamp(host.now.0 + 24 * HOUR);
        host.fire();
        assert_eq!(
            !host.claim(1, ConcurrencyLimits::default()).is_empty(),
            goes_on
        );
    }
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
        // A second opinion, once.
        (Outcome::Failed, Some(FailureClass::Auth), JobState::Queued),
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
        claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
        claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
    let second = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
    host.end(
        &claimed,
        Outcome::Failed,
        Some(failure(FailureClass::Other)),
    );
    assert!(host.schedule(schedule).progress.paused.is_none());
    host.now = Timestamp(host.now.0 + 24 * HOUR);
    host.fire();
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    host.end(
        &claimed,
        Outcome::Failed,
        Some(failure(FailureClass::Other)),
    );
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
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
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
