//! Refused calls of a run, by the numbers that the guest is given: a failure that hands one back says exactly what
//! it is about, however it is worded.

use std::collections::VecDeque;

use tidegate_engine::run::Blame;

/// So many are kept, the latest. Who fails does so because of one of the last.
const KEPT_MAX: usize = 1_000;

/// Limits on a whole run, after which continuing makes sense if it has got somewhere. The others
/// would be hit again at the same place.
pub(crate) const RUN_LENGTH_LIMITS: &[&str] = &[
    "cpu_ms",
    "wall_ms",
    "host_calls",
    "host_call_total_bytes",
    "http_requests",
    "http_total_bytes",
    "records_per_run",
];

/// What the host knows of a refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The limit that it ran into.
    pub(crate) limit: Option<&'static str>,
    pub(crate) blame: Blame,
    /// When the upstream wants to be asked again, in milliseconds.
    pub(crate) retry_after_ms: Option<u64>,
}

/// Numbered from 1 in the order in which the guest hears of them, so that a replay gives the same numbers.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    latest: VecDeque<Cause>,
    count: u64,
    /// A limit on the whole run is used up. From then on all calls of its kind fail, so whatever the guest fails
    /// with is its consequence.
    spent: Option<Cause>,
    /// The last wait that an upstream asked for.
    retry_after_ms: Option<u64>,
}

impl Causes {
    pub(crate) fn add(&mut self, cause: Cause) -> u64 {
        if cause
            .limit
            .is_some_and(|limit| RUN_LENGTH_LIMITS.contains(&limit))
        {
            self.spent = Some(cause);
        }
        self.retry_after_ms = cause.retry_after_ms.or(self.retry_after_ms);
        if self.latest.len() == KEPT_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(cause);
        self.count += 1;
        self.count
    }

    /// The limit on the whole run that is used up, if one is: what a failure without a cause may be about.
    pub(crate) fn spent(&self) -> Option<Cause> {
        self.spent
    }

    /// What a failure is about that hands `number` back.
    pub(crate) fn of(&self, number: u64) -> Option<Cause> {
        let back = usize::try_from(self.count.checked_sub(number)?).ok()?;
        let place = self.latest.len().checked_sub(back + 1)?;
        self.latest.get(place).copied()
    }

    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(limit: Option<&'static str>, wait: u64) -> Cause {
        Cause {
            limit,
            blame: Blame::Upstream,
            retry_after_ms: Some(wait),
        }
    }

    #[test]
    fn the_latest_are_found_by_their_numbers() {
        let mut causes = Causes::default();
        assert_eq!(causes.of(0), None);
        assert_eq!(causes.of(1), None);
        for wait in 1..=2_500 {
            assert_eq!(causes.add(cause(None, wait)), wait);
        }
        for (number, found) in [
            (2_500, true),
            (1_501, true),
            (1_500, false),
            (1, false),
            (0, false),
            (2_501, false),
            (u64::MAX, false),
        ] {
            let expected = found.then(|| cause(None, number));
            assert_eq!(causes.of(number), expected, "{number}");
        }
        assert_eq!(causes.spent(), None);
    }

    #[test]
    fn a_limit_on_the_whole_run_is_the_cause_of_what_has_none() {
        let mut causes = Causes::default();
        causes.add(cause(Some("record_bytes"), 1));
        assert_eq!(causes.spent(), None);
        causes.add(cause(Some("http_requests"), 2));
        causes.add(cause(None, 3));
        assert_eq!(causes.spent(), Some(cause(Some("http_requests"), 2)));
        assert_eq!(causes.of(3), Some(cause(None, 3)));
    }
}
