//! A clock that steps while things have been decided, queued and claimed.

use futures::executor::block_on;
use tidegate_engine::Timestamp;
use tidegate_engine::board::{Board, ConcurrencyLimits};
use tidegate_engine::job::JobState;
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};
use tidegate_engine::schedule::{Definition, FireOutcome, Misfire};
use tidegate_engine::store::parts::*;

use crate::host::{DAY, HOUR, Host, MINUTE, SECOND, action_of, every, sync_of};
use crate::queue::new_job;

const NOW: &str = "2028-05-01T00:00:30Z";

#[test]
fn back_and_then_forward_leaves_outcomes_as_they_are() {
    // Each with how much of the past the clock goes back to, and how many moments are missed, in how many
    // ranges, when it comes an hour later than it was.
    for (misfire, back, missed, ranges) in [
        (Misfire::Latest, 2 * HOUR, 5, 1),
        (Misfire::Skip, 2 * HOUR, 5, 1),
        // Down for an hour in between, of which only the latest moment was made up for.
        (Misfire::Latest, 4 * HOUR, 10, 2),
    ] {
        let mut host = Host::new(NOW, &["acme"]);
        let mut definition = Definition::new(sync_of("acme", "contacts"), vec![every("10m")]);
        definition.misfire = misfire;
        let id = host.put(definition).id;
        host.live_until(Timestamp(host.now.0 + HOUR));
        if back > 2 * HOUR {
            host.now = Timestamp(host.now.0 + HOUR);
            host.fire();
            host.work();
        }
        host.live_until(Timestamp(host.now.0 + 2 * HOUR));
        let before = host.fires(id);
        let right = host.now;
        host.now = Timestamp(right.0 - back);
        host.fire();
        host.now = Timestamp(right.0 + HOUR);
        host.fire();
        host.work();
        let after = host.fires(id);
        for (moment, outcome) in &before {
            assert_eq!(after.get(moment), Some(outcome), "{misfire:?} {moment:?}");
        }
        let ranges_after = after.values().filter_map(|outcome| match outcome {
            FireOutcome::Missed { moments, .. } => Some(*moments),
            _ => None,
        });
        let ranges_after: Vec<u64> = ranges_after.collect();
        assert_eq!(
            (ranges_after.iter().sum::<u64>(), ranges_after.len()),
            (missed, ranges),
            "{misfire:?} {back}"
        );
    }
}

#[test]
fn jobs_don_t_wait_for_the_time_from_which_a_clock_came_back() {
    let mut host = Host::new(NOW, &["acme", "other"]);
    let right = host.now;
    // The clock is a year ahead for a while.
    host.now = Timestamp(right.0 + 366 * DAY);
    host.fire();
    for number in 1..=2 {
        let mut job = new_job(number, action_of("acme"), host.now);
        job.expires_at = Some(Timestamp(host.now.0 + HOUR));
        block_on(host.store.enqueue(job)).unwrap();
    }
    // One of these is tried again in five seconds.
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    let why = Failure::new(FailureClass::Transient, Blame::Upstream, "not now");
    let again = host.end(&claimed, Outcome::Failed, Some(why));
    let wait = again.due_at.since(host.now);

    host.now = Timestamp(right.0 + SECOND);
    assert!(host.fire().is_empty());
    let job = host.job(&claimed);
    assert_eq!(job.due_at.since(host.now), wait, "as long as it had to");
    let claimed = host.claim(10, ConcurrencyLimits::default());
    assert_eq!(claimed.len(), 1, "the other may start at once");
    assert_eq!(claimed[0].job.place, host.now.0);
    assert_eq!(
        claimed[0].job.expires_at,
        Some(Timestamp(host.now.0 + HOUR))
    );
    host.now = job.due_at;
    assert_eq!(host.claim(10, ConcurrencyLimits::default()).len(), 1);
}

#[test]
fn leases_don_t_outlast_a_step_back() {
    let mut host = Host::new(NOW, &["acme"]);
    let right = host.now;
    host.now = Timestamp(right.0 + 366 * DAY);
    let job = new_job(1, action_of("acme"), host.now);
    block_on(host.store.enqueue(job)).unwrap();
    let claimed = host.claim(1, ConcurrencyLimits::default()).remove(0);
    host.now = right;
    host.fire();
    host.now = Timestamp(right.0 + MINUTE);
    let why = Failure::new(FailureClass::Internal, Blame::Host, "its lease ended");
    let reaped = block_on(host.store.reap(why, host.now)).unwrap();
    assert_eq!(reaped, [claimed.run]);
}

#[test]
fn a_server_that_starts_after_the_step_knows_of_it() {
    let right = Timestamp(1_000_000_000);
    let ahead = Timestamp(right.0 + 366 * DAY);
    let (stored, _) = Board::default()
        .enqueue(new_job(1, action_of("acme"), ahead))
        .unwrap();
    let mut board = Board::default();
    board.load_job(&stored);
    board.fire_due(right, 10, &crate::host::NoOutcomes).unwrap();
    let job = board.active_job(stored.id).unwrap();
    assert_eq!((&job.state, job.due_at), (&JobState::Queued, right));
}
