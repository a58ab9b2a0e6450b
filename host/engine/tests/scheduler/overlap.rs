//! What happens to a fire while an earlier one's job has not ended.

use tidegate_engine::Timestamp;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::job::JobState;
use tidegate_engine::schedule::{Definition, Misfire, Overlap};

use crate::host::{HOUR, Host, MINUTE, action_of, every};

#[test]
fn each_policy_has_its_way() {
    // Each with jobs made, overlaps recorded, jobs cancelled, and most that ran at the same time, when four
    // moments pass while nothing ends.
    let rows = [
        (Overlap::Skip, 1, 3, 0, 1),
        (Overlap::QueueOne, 2, 2, 0, 1),
        (Overlap::Allow { max: 3 }, 3, 1, 0, 3),
        (Overlap::CancelPrevious, 4, 0, 3, 1),
    ];
    for (overlap, made, skipped, cancelled, together) in rows {
        let mut host = Host::new("2028-05-01T00:00:30Z", &["acme"]);
        let mut definition = Definition::new(action_of("acme"), vec![every("1m")]);
        definition.overlap = overlap;
        let id = host.put(definition).id;
        let mut running = Vec::new();
        let mut most = 0;
        let mut stopped = 0;
        for _ in 0..4 {
            host.now = Timestamp(host.now.0 + MINUTE);
            for run in host.fire().into_iter().flat_map(|fired| fired.cancelled) {
                // Its host stops it at once.
                let place = running
                    .iter()
                    .position(|claimed: &tidegate_engine::store::Claimed| claimed.run == run);
                let claimed = running.remove(place.unwrap());
                let job = host.end(&claimed, tidegate_engine::run::Outcome::Cancelled, None);
                assert_eq!(job.state, JobState::Cancelled);
                stopped += 1;
            }
            running.extend(host.claim(5, ConcurrencyLimits::default()));
            most = most.max(running.len());
        }
        let progress = host.schedule(id).progress;
        assert_eq!(
            (progress.fires, progress.overlaps),
            (made, skipped),
            "{overlap:?}"
        );
        assert_eq!((stopped, most), (cancelled, together), "{overlap:?}");
        assert_eq!(
            host.fires(id).len(),
            4,
            "{overlap:?}: each moment has its outcome"
        );
    }
}

#[test]
fn those_of_one_catching_up_wait_for_what_is_active() {
    // Each with jobs made and cancelled when three moments are made up for, and when one is, while an
    // earlier one's job runs.
    let rows = [
        (Overlap::Skip, (3, 0), (0, 0)),
        (Overlap::QueueOne, (3, 0), (1, 0)),
        (Overlap::Allow { max: 1 }, (3, 0), (0, 0)),
        (Overlap::CancelPrevious, (3, 1), (1, 1)),
    ];
    for (overlap, several, one) in rows {
        for (minutes, (made, cancelled)) in [(3, several), (1, one)] {
            let mut host = Host::new("2028-05-01T00:00:30Z", &["acme"]);
            let mut definition = Definition::new(action_of("acme"), vec![every("1m")]);
            definition.overlap = overlap;
            definition.misfire = Misfire::All;
            definition.catchup_window_ms = Some(HOUR);
            let id = host.put(definition).id;
            host.now = Timestamp(host.now.0 + MINUTE);
            host.fire();
            assert_eq!(host.claim(1, ConcurrencyLimits::default()).len(), 1);
            host.now = Timestamp(host.now.0 + minutes * MINUTE);
            let fired = host.fire();
            let stopped = fired.iter().flat_map(|fired| &fired.cancelled).count();
            let progress = host.schedule(id).progress;
            assert_eq!(
                (progress.fires - 1, stopped, progress.overlaps),
                (made, cancelled, minutes - made),
                "{overlap:?} {minutes}"
            );
        }
    }
}
