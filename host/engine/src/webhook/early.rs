//! What is tried before its time: once its endpoint takes something again, and, while that fails, one delivery now and
//! then, to see whether it is back.
//!
//! Such an attempt is beside the schedule of its delivery: if it fails, the delivery is due when it would have been, and
//! has as many attempts left. So an endpoint that is back has what waited for it at once, however late the schedule has
//! become, and one event that an endpoint refuses is not used up by the others that it takes.

use super::{Attempt, Delivery, DeliveryErrorKind, Endpoint};
use crate::Timestamp;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

/// The least wait between an attempt of a delivery and one that is brought forward; doubled by each of these that failed.
const EARLY_MS: u64 = 5 * SECOND_MS;
/// The least and the longest wait between attempts at an endpoint that fails. Between them it is a tenth of the time
/// that it has failed for.
const PROBE_MS: u64 = 30 * SECOND_MS;
const PROBE_MOST_MS: u64 = 10 * MINUTE_MS;
/// The least wait for an endpoint that is slow or has too much to do.
pub(super) const THROTTLED_MS: u64 = MINUTE_MS;

/// Whether an endpoint is slow or has too much to do.
pub(super) fn is_throttled(attempt: &Attempt) -> bool {
    let no_answer = attempt.no_answer.as_ref();
    let timed_out = no_answer.is_some_and(|none| none.kind == DeliveryErrorKind::Timeout);
    timed_out || matches!(attempt.status, Some(429 | 502 | 504))
}

/// The least wait after an attempt, whatever is brought forward: what the endpoint asked for, as far as a probe waits.
pub(super) fn least_ms(attempt: &Attempt) -> u64 {
    let throttled = match is_throttled(attempt) {
        true => THROTTLED_MS,
        false => 0,
    };
    let asked = attempt.retry_after_ms.unwrap_or_default();
    throttled.max(asked.min(PROBE_MOST_MS))
}

/// When the endpoint is asked next, after an attempt of which it has failed since `first`.
pub(super) fn probe_at(first: Timestamp, now: Timestamp, attempt: &Attempt) -> Timestamp {
    let wait = (now.since(first) / 10).clamp(PROBE_MS, PROBE_MOST_MS);
    Timestamp(now.0.saturating_add(wait.max(least_ms(attempt))))
}

/// Whether this attempt of a delivery is one before its time.
pub(super) fn is_early(delivery: &Delivery, attempt: &Attempt) -> bool {
    let next_at = delivery.state.next_at();
    delivery.failed > 0 && next_at.is_some_and(|next_at| attempt.at < next_at)
}

/// The first delivery of a stream that waits: those after it wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of its event.
    pub seq: u64,
    /// When it is due.
    pub next_at: Timestamp,
    /// When it is due while its endpoint does not fail: no later than that.
    pub early_at: Timestamp,
}

impl Head {
    /// `None` if the delivery doesn't wait.
    #[must_use]
    pub fn of(delivery: &Delivery) -> Option<Self> {
        let next_at = delivery.state.next_at()?;
        let last = delivery.attempts.last().filter(|_| delivery.failed > 0);
        let early_at = last.map_or(next_at, |last| {
            let doubled = EARLY_MS.saturating_mul(1 << delivery.failed_early.min(20));
            let wait = doubled.max(least_ms(last));
            let ended = last.at.0.saturating_add(last.latency_ms);
            Timestamp(ended.saturating_add(wait)).min(next_at)
        });
        Some(Self {
            seq: delivery.seq,
            next_at,
            early_at,
        })
    }
}

/// What is due for an endpoint, the first ones first, each since when; and when the next one will be. `heads` are those
/// that are not on their way, and `is_idle` says that none is.
#[must_use]
pub fn due(
    endpoint: &Endpoint,
    heads: &[Head],
    now: Timestamp,
    is_idle: bool,
) -> (Vec<(Timestamp, u64)>, Option<Timestamp>) {
    let fails = endpoint.first_failure_at.is_some();
    let at = |head: &Head| match fails {
        true => (head.next_at, head.seq),
        false => (head.early_at, head.seq),
    };
    let mut ordered: Vec<(Timestamp, u64)> = heads.iter().map(at).collect();
    ordered.sort_unstable();
    let later = ordered.split_off(ordered.partition_point(|(at, _)| *at <= now));
    let mut next = later.first().map(|(at, _)| *at);
    if fails && is_idle && ordered.is_empty() {
        // The one that was tried the longest ago.
        let probe = heads.iter().map(|head| (head.early_at, head.seq)).min();
        let (probe, probe_at) = probed(endpoint, probe, now);
        ordered.extend(probe);
        next = next.into_iter().chain(probe_at).min();
    }
    (ordered, next)
}

/// The delivery that an endpoint which fails is asked with now, or when it is.
#[must_use]
pub fn probed(
    endpoint: &Endpoint,
    probe: Option<(Timestamp, u64)>,
    now: Timestamp,
) -> (Option<(Timestamp, u64)>, Option<Timestamp>) {
    let probe_at = endpoint.probe_at.unwrap_or_default();
    match probe {
        Some(probe) if probe_at <= now => (Some(probe), None),
        Some(_) => (None, Some(probe_at)),
        None => (None, None),
    }
}

#[cfg(test)]
#[path = "early_tests.rs"]
mod tests;
