//! What becomes of a delivery, and of its endpoint, after an attempt: when it is tried again, and when its endpoint is
//! disabled. Attempts of an endpoint that has never answered, or has just begun to fail, are `early`'s.

use super::early::{self, THROTTLED_MS};
use super::{
    Attempt, Delivery, DeliveryState, Disabled, Endpoint, EndpointId, EventId, WhyDisabled,
};
use crate::Timestamp;
use crate::backoff::jittered_ms;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// The wait after the first failed attempt, after the second, and so on: 27 h 36 min 35 s in all. The first are
/// short, for a receiver that is away for half a minute, such as one that is deployed anew.
const DELAYS_MS: [u64; 9] = [
    5 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    10 * HOUR_MS,
];
/// Attempts of a delivery before it is exhausted.
pub const ATTEMPTS: u32 = 10;
/// Failures only, for so long, disable an endpoint.
const FAILING_MS: u64 = 120 * HOUR_MS;
/// A failure so long ago says nothing of today: a series begins anew.
const FORGOTTEN_MS: u64 = 2 * FAILING_MS;

/// A delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptedDelivery {
    pub delivery: Delivery,
    /// The endpoint, if it is another now.
    pub endpoint: Option<Endpoint>,
    /// Whether this attempt disabled it.
    pub disabled: bool,
}

/// The wait after `failed` failed attempts, the last of which is `last`; `None` if there is no further attempt.
#[must_use]
pub fn delay_ms(event: EventId, endpoint: EndpointId, failed: u32, last: &Attempt) -> Option<u64> {
    let index = usize::try_from(failed.checked_sub(1)?).ok()?;
    let base = *DELAYS_MS.get(index)?;
    let mut delay = jittered_ms(base, &format!("{event} {endpoint} {failed}"));
    if early::is_throttled(last) {
        delay = delay.max(THROTTLED_MS);
    }
    let asked = last
        .retry_after_ms
        .map(|asked| asked.clamp(delay, 2 * delay));
    Some(asked.unwrap_or(delay))
}

/// What an attempt makes of its delivery and endpoint.
#[must_use]
pub fn settled(endpoint: &Endpoint, delivery: &Delivery, attempt: Attempt) -> AttemptedDelivery {
    let mut delivery = delivery.clone();
    let mut new = endpoint.clone();
    // An attempt lasts seconds; what it says is of its end.
    let now = Timestamp(attempt.at.0.saturating_add(attempt.latency_ms));
    if attempt.succeeded() {
        delivery.state = DeliveryState::Delivered { at: now };
        new.first_failure_at = None;
        new.probe_at = None;
    } else {
        fail(&mut delivery, endpoint, &attempt, now);
        new.first_failure_at = match endpoint.first_failure_at {
            Some(first) if now.since(first) < FORGOTTEN_MS => Some(first),
            _ => Some(now),
        };
        new.probe_at = new
            .first_failure_at
            .map(|first| early::probe_at(first, now, &attempt));
        let failing_ms = new.first_failure_at.map_or(0, |first| now.since(first));
        let why = match attempt.status {
            Some(410) => Some(WhyDisabled::Gone),
            _ => (failing_ms >= FAILING_MS).then_some(WhyDisabled::Failing),
        };
        if let (Some(why), None) = (why, endpoint.disabled) {
            new.disabled = Some(Disabled { at: now, why });
        }
    }
    delivery.push(attempt);
    let disabled = new.disabled != endpoint.disabled;
    let is_changed =
        new.disabled != endpoint.disabled || new.first_failure_at != endpoint.first_failure_at;
    let endpoint = (new != *endpoint).then(|| Endpoint {
        revision: new.revision + u64::from(is_changed),
        ..new
    });
    AttemptedDelivery {
        delivery,
        endpoint,
        disabled,
    }
}

/// Say of a delivery when its next attempt is, after one that failed.
fn fail(delivery: &mut Delivery, endpoint: &Endpoint, attempt: &Attempt, now: Timestamp) {
    let after = |wait: u64| Timestamp(now.0.saturating_add(wait));
    delivery.state = match delivery.state.next_at() {
        Some(next_at) if early::is_early(delivery, attempt) => {
            // One that began after the endpoint had ceased to take anything says nothing of this delivery.
            let fails = endpoint.first_failure_at;
            let was_well = fails.is_none_or(|first| attempt.at < first);
            delivery.failed_early = delivery.failed_early.saturating_add(was_well.into());
            let next_at = next_at.max(after(early::least_ms(attempt)));
            DeliveryState::Pending { next_at }
        }
        _ => {
            delivery.failed = delivery.failed.saturating_add(1);
            let delay = delay_ms(delivery.event, delivery.endpoint, delivery.failed, attempt);
            match delay.map(after) {
                Some(next_at) => DeliveryState::Pending { next_at },
                None => DeliveryState::Exhausted { at: now },
            }
        }
    };
}

/// A delivery that is to be made again, with all attempts before it.
#[must_use]
pub fn replayed(delivery: &Delivery, now: Timestamp) -> Delivery {
    Delivery {
        state: DeliveryState::Pending { next_at: now },
        failed: 0,
        failed_early: 0,
        ..delivery.clone()
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
