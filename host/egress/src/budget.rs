//! The retry budget: how many retries all runs of an integration have left at one origin.
//!
//! An API that fails gets up to four attempts of each request, and so four times the load at the
//! worst moment. Retries are therefore paid for: requests earn a tenth of one each, and a few are
//! free, so that one who asks seldom can retry at all (the idea of Finagle's and tower's budgets).

use std::time::{Duration, Instant};

use crate::registry::Remembered;
use parking_lot::{Mutex, MutexGuard};

/// What a request earns, in thousandths of a retry.
const EARNED: u64 = 100;
/// What a retry costs.
const PRICE: u64 = 1000;
/// Retries that are free after a time of silence, and how long one of them takes to come back.
pub(crate) const FREE: u64 = 10;
const FREE_EVERY: Duration = Duration::from_secs(1);
/// Most that is saved up.
const SAVED_MAX: u64 = 50;

/// The budget of one (integration, origin).
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    balance: u64,
    /// Until when the free ones were counted; `None` before the first request.
    counted: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            balance: FREE * PRICE,
            counted: None,
        }
    }
}

impl Budget {
    /// A request is sent for the first time.
    pub(crate) fn earn(&self, now: Instant) {
        let mut bucket = self.refilled(now);
        bucket.balance = (bucket.balance + EARNED).min(SAVED_MAX * PRICE);
    }

    /// May a request be sent again? It is paid for if so.
    pub(crate) fn pay(&self, now: Instant) -> bool {
        let mut bucket = self.refilled(now);
        let left = bucket.balance.checked_sub(PRICE);
        if let Some(left) = left {
            bucket.balance = left;
        }
        left.is_some()
    }

    fn refilled(&self, now: Instant) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.0.lock();
        let since = bucket
            .counted
            .map(|counted| now.saturating_duration_since(counted));
        let come_back = since.map_or(0, |time| {
            time.as_millis() * u128::from(PRICE) / FREE_EVERY.as_millis()
        });
        if bucket.balance < FREE * PRICE {
            let come_back = u64::try_from(come_back).unwrap_or(u64::MAX);
            bucket.balance = bucket.balance.saturating_add(come_back).min(FREE * PRICE);
        }
        bucket.counted = bucket.counted.max(Some(now));
        bucket
    }
}

impl Remembered for Budget {
    fn is_idle(&self, now: Instant) -> bool {
        self.refilled(now).balance >= FREE * PRICE
    }

    fn used(&self) -> Option<Instant> {
        let bucket = self.0.lock();
        bucket.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paid(budget: &Budget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.pay(now)).count()
    }

    #[test]
    fn retries_are_a_tenth_of_the_requests_and_a_few() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let budget = Budget::default();
        assert_eq!(paid(&budget, at(0)), 10, "the free ones");
        (0..100).for_each(|_| budget.earn(at(0)));
        assert_eq!(paid(&budget, at(0)), 10, "a tenth of 100");
        (0..100_000).for_each(|_| budget.earn(at(0)));
        assert_eq!(paid(&budget, at(0)), 50, "what can be saved");
        assert_eq!(paid(&budget, at(3)), 3, "one a second comes back");
        assert_eq!(paid(&budget, at(3600)), 10, "ten at most");
        assert_eq!(paid(&budget, at(5)), 0, "time doesn't run backwards");
        assert!(!budget.is_idle(at(3601)) && budget.is_idle(at(3611)));
    }
}
