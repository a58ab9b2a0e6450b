//! Moments of the past that are filled on request, beside what fires by itself.

use futures::executor::block_on;
use tidegate_engine::Timestamp;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::run::Trigger;
use tidegate_engine::schedule::{Definition, Fire, FireOutcome, Misfire, Overlap, ScheduleId};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Backfill, RefirePolicy};

use crate::host::{HOUR, Host, MINUTE, action_of, at, every};

const NOW: &str = "2028-05-01T00:00:30Z";

fn backfill(host: &Host, schedule: ScheduleId, moments: Vec<Timestamp>) -> Vec<Fire> {
    let backfill = Backfill {
        schedule,
        moments,
        again: RefirePolicy::Never,
        now: host.now,
    };
    block_on(host.store.backfill(backfill)).unwrap()
}

/// Hours of the day before.
fn hours_before(count: u64) -> Vec<Timestamp> {
    let midnight = at("2028-05-01T00:00:00Z").0;
    let hours = (1..=count).rev().map(|hour| midnight - hour * HOUR);
    hours.map(Timestamp).collect()
}

#[test]
fn live_fires_and_backfills_don_t_stop_each_other() {
    let rows = [
        Overlap::Skip,
        Overlap::QueueOne,
        Overlap::CancelPrevious,
        Overlap::Allow { max: 3 },
    ];
    for overlap in rows {
        let mut host = Host::new(NOW, &["acme"]);
        let mut definition = Definition::new(action_of("acme"), vec![every("1h")]);
        definition.overlap = overlap;
        let id = host.put(definition).id;
        let filled = backfill(&host, id, hours_before(6));
        assert_eq!(filled.len(), 6, "{overlap:?}");
        // One after the other, whatever the schedule allows.
        let first = host.claim(10, ConcurrencyLimits::default());
        assert_eq!(first.len(), 1, "{overlap:?}");
        for hour in 1..=3 {
            host.now = Timestamp(host.now.0 + HOUR);
            let fired = host.fire().remove(0);
            assert_eq!(fired.cancelled, [], "{overlap:?} {hour}");
            let started = matches!(fired.fires[0].outcome, FireOutcome::Started { .. });
            assert!(started, "{overlap:?} {hour}: {:?}", fired.fires);
            if hour == 1 {
                host.succeed(&first[0]);
            }
            // The live one is first; where several may run, one of the backfill goes beside it.
            let claimed = host.claim(10, ConcurrencyLimits::default());
            let live = claimed[0].job.trigger == Trigger::Schedule;
            assert!(live, "{overlap:?} {hour}");
            let beside = matches!(overlap, Overlap::Allow { .. });
            assert_eq!(claimed.len(), 1 + usize::from(beside), "{overlap:?} {hour}");
            claimed
                .iter()
                .for_each(|claimed| drop(host.succeed(claimed)));
        }
        host.work();
        assert_eq!(host.started(id).len(), 9, "{overlap:?}");
        assert_eq!(host.schedule(id).progress.overlaps, 0, "{overlap:?}");
        assert!(
            host.jobs()
                .iter()
                .all(|job| job.state.as_str() == "succeeded")
        );
    }
}

#[test]
fn what_is_left_of_a_range_that_was_missed_stays_missed() {
    // Each with the minutes that are filled of the nine that were missed, and the ranges left: from, until,
    // and how many.
    type Ranges = &'static [(u64, u64, u64)];
    let rows: [(&[&[u64]], Ranges); 5] = [
        (&[&[1]], &[(2, 9, 8)]),
        (&[&[1, 2, 3]], &[(4, 9, 6)]),
        (&[&[3], &[1], &[2]], &[(4, 9, 6)]),
        (&[&[2, 1], &[4, 3]], &[(5, 9, 5)]),
        (&[&[1, 2, 3, 4, 5, 6, 7, 8, 9]], &[]),
    ];
    for (steps, left) in rows {
        let mut host = Host::new(NOW, &["acme"]);
        let mut definition = Definition::new(action_of("acme"), vec![every("1m")]);
        definition.misfire = Misfire::Skip;
        let id = host.put(definition).id;
        // On time for the tenth.
        host.now = Timestamp(host.now.0 + 10 * MINUTE - 1);
        host.fire();
        host.work();
        let minute = |n: u64| Timestamp(at("2028-05-01T00:00:00Z").0 + n * MINUTE);
        let mut filled = 0;
        for step in steps {
            let moments = step.iter().map(|n| minute(*n)).collect();
            filled += backfill(&host, id, moments).len();
            host.work();
            host.now = Timestamp(host.now.0 + 1);
        }
        assert_eq!(filled, steps.iter().map(|step| step.len()).sum::<usize>());
        assert_eq!(host.started(id).len(), filled + 1, "{steps:?}");
        let missed = host.fires(id).into_iter();
        let missed = missed.filter_map(|(from, outcome)| match outcome {
            FireOutcome::Missed { until, moments } => Some((from, until, moments)),
            _ => None,
        });
        let left = left
            .iter()
            .map(|(from, until, n)| (minute(*from), minute(*until), *n));
        assert_eq!(
            missed.collect::<Vec<_>>(),
            left.collect::<Vec<_>>(),
            "{steps:?}"
        );
    }
}
