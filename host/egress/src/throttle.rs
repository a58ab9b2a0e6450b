//! Lanes: all runs of a connection wait for the pace of an origin together.

mod pace;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::{Mutex, MutexGuard};
use tidegate_engine::ConnectionKey;
use tidegate_engine::grant::RateLimit;
use tokio::sync::Notify;
use url::Url;

use crate::error::EgressError;
use crate::hints::RateLimitHints;
use crate::meter::{Meter, WaitReason};
use crate::registry::{Registry, Remembered};
use crate::timers::{Timers, UPSTREAM_WAIT_MAX};
use tidegate_rules::request::shown;

use pace::{Pace, Wait};

/// Waiters don't come back all at once: up to a tenth later, and at most this.
const SPREAD_MAX: Duration = Duration::from_secs(1);

/// The lanes of a process.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Registry<ConnectionKey, OriginLimiter>);

/// The way of one connection's requests to one origin.
#[derive(Debug, Default)]
struct OriginLimiter {
    pace: Mutex<Pace>,
    /// A scout is back.
    answered: Notify,
}

/// The permission to send one request. Held until it is answered.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<OriginLimiter>,
    is_scout: bool,
}

impl Throttle {
    /// Wait until a request of this connection may go to `url`, and count in `meter` how long and why.
    /// Waiting ends with the future: a run that is cancelled or out of time drops it.
    pub(crate) async fn permit(
        &self,
        connection: &ConnectionKey,
        url: &Url,
        rate: Option<RateLimit>,
        timers: &dyn Timers,
        meter: &Meter,
    ) -> Result<Permit, EgressError> {
        let start = timers.instant();
        let origin = url.origin().ascii_serialization();
        let limiter = self.0.get(connection, &origin, start);
        let mut turn = None;
        loop {
            let mut answered = pin!(limiter.answered.notified());
            answered.as_mut().enable();
            let now = timers.instant();
            let went = limiter.lock().go(now, rate, &mut turn);
            let waited = |why| meter.waited(why, timers.instant().saturating_duration_since(now));
            let (why, time) = match went {
                Ok(is_scout) => {
                    let limiter = Arc::clone(&limiter);
                    return Ok(Permit { limiter, is_scout });
                }
                Err(Wait::Scout) => {
                    answered.await;
                    waited(WaitReason::Pace);
                    continue;
                }
                Err(Wait::Turn(at)) => (WaitReason::RateLimit, at.saturating_duration_since(now)),
                Err(Wait::Upstream(until)) => {
                    let time = until.saturating_duration_since(now);
                    if time > UPSTREAM_WAIT_MAX {
                        return Err(throttled(url, time));
                    }
                    let spread = timers.jitter((time / 10).min(SPREAD_MAX));
                    (WaitReason::Pace, time + spread)
                }
            };
            timers.sleep(time).await;
            waited(why);
        }
    }
}

fn throttled(url: &Url, retry_after: Duration) -> EgressError {
    let message = format!(
        "{}: the server asked for no more requests for another {} s, which is longer than the {} s \
         that a request waits; try again after that",
        shown(url),
        retry_after.as_secs_f64().ceil(),
        UPSTREAM_WAIT_MAX.as_secs()
    );
    EgressError::Throttled {
        retry_after,
        message,
    }
}

impl Permit {
    /// The answer's status and what it says hold for all requests of the lane from now on.
    pub(crate) fn heard(&self, status: StatusCode, hints: &RateLimitHints, now: Instant) {
        self.limiter.lock().heard(status, hints, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut pace = self.limiter.lock();
        pace.landed();
        if self.is_scout {
            pace.scout_is_back();
            self.limiter.answered.notify_waiters();
        }
    }
}

impl OriginLimiter {
    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock()
    }
}

impl Remembered for OriginLimiter {
    fn is_idle(&self, now: Instant) -> bool {
        self.lock().is_idle(now)
    }

    fn used(&self) -> Option<Instant> {
        self.lock().used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::Quota;

    #[tokio::test]
    async fn after_a_pause_one_goes_ahead_and_the_rest_hear_what_it_heard() {
        #[derive(Debug)]
        struct StoppedClock(Instant);
        impl Timers for StoppedClock {
            fn now(&self) -> std::time::SystemTime {
                std::time::SystemTime::UNIX_EPOCH
            }
            fn instant(&self) -> Instant {
                self.0
            }
            fn sleep(&self, _: Duration) -> futures::future::BoxFuture<'static, ()> {
                Box::pin(std::future::pending())
            }
            fn jitter(&self, most: Duration) -> Duration {
                most
            }
        }
        let url = Url::parse("https://a.example/").unwrap();
        let connection = ConnectionKey {
            integration: "crm".parse().unwrap(),
            connection: "acme".parse().unwrap(),
        };
        let throttle = Throttle::default();
        let start = Instant::now();
        let permit = |seconds| {
            let timers = StoppedClock(start + Duration::from_secs(seconds));
            let (throttle, connection, url) = (&throttle, &connection, &url);
            async move {
                throttle
                    .permit(connection, url, None, &timers, &Meter::default())
                    .await
                    .unwrap()
            }
        };
        let pause = RateLimitHints {
            retry_after: Some(Duration::from_secs(9)),
            ..RateLimitHints::default()
        };
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        permit(0).await.heard(too_many, &pause, start);
        // (what the scout's answer is, whether the next one may go then)
        let quota = RateLimitHints {
            quota: Some(Quota {
                remaining: 1,
                reset: Duration::from_secs(9),
            }),
            ..RateLimitHints::default()
        };
        for (after, heard, goes) in [(9, Some((too_many, pause)), false), (18, None, true)] {
            let probe = permit(after).await;
            let mut next = pin!(permit(after));
            assert!(futures::poll!(&mut next).is_pending(), "alone");
            if let Some((status, hints)) = heard {
                probe.heard(status, &hints, start + Duration::from_secs(after));
            }
            drop(probe);
            assert_eq!(
                futures::poll!(&mut next).is_ready(),
                goes,
                "after {after} s"
            );
        }
        // All of a crowd go once a scout is back, as far as it says.
        permit(18)
            .await
            .heard(StatusCode::OK, &quota, start + Duration::from_secs(18));
        let passes = [permit(18).await];
        assert!(futures::poll!(pin!(permit(18))).is_pending());
        drop(passes);
    }
}
