//! The pace at one origin: the rate that was set, and what the upstream's answers say, respected
//! before it bites.

use std::time::{Duration, Instant};

use http::StatusCode;
use tidegate_engine::grant::RateLimit;
use tidegate_engine::limits::RETRY_AFTER_MAX_MS;

use crate::hints::RateLimitHints;

/// Longest that the upstream's word is believed before it is asked again: whoever writes a wrong
/// date doesn't lock a connection out for ever.
const PAUSE_MAX: Duration = Duration::from_millis(RETRY_AFTER_MAX_MS);
/// How far ahead turns are given out. They are lost with a request that is cancelled.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// What is known of one connection's requests to one origin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next turn would be, were there no burst (GCRA's theoretical arrival time).
    next: Option<Instant>,
    /// Nothing is sent before.
    paused: Option<Instant>,
    /// Requests left, and until when.
    quota: Option<(u64, Instant)>,
    /// Sent, and not answered yet.
    in_flight: u64,
    probe: Probe,
    used: Option<Instant>,
}

/// After a pause one request goes alone, and the others wait for what its answer says: a crowd
/// would only be told to wait again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Probe {
    #[default]
    None,
    Wanted,
    Sent,
}

/// Why a request doesn't go now.
pub(super) enum Wait {
    /// The rate that was set: at its turn.
    Turn(Instant),
    /// The upstream's word.
    Upstream(Instant),
    /// The scout's answer, or its failure.
    Scout,
}

impl Pace {
    /// Go now, as a scout or not, or wait. `turn` is the one that this request was given before.
    pub(super) fn go(
        &mut self,
        now: Instant,
        rate: Option<RateLimit>,
        turn: &mut Option<Instant>,
    ) -> Result<bool, Wait> {
        self.used = Some(now);
        let spent = self.quota.filter(|(left, _)| *left == 0);
        if let Some(until) = self.paused.max(spent.map(|(_, until)| until)) {
            if until > now {
                *turn = None;
                return Err(Wait::Upstream(until));
            }
            self.probe = Probe::Wanted;
        }
        self.paused = None;
        self.quota = self.quota.filter(|(_, until)| *until > now);
        if self.probe == Probe::Sent {
            *turn = None;
            return Err(Wait::Scout);
        }
        if let Some(rate) = rate {
            let at = match *turn {
                Some(at) => at,
                None => self.turn(now, rate).map_err(Wait::Turn)?,
            };
            *turn = Some(at);
            if at > now {
                return Err(Wait::Turn(at));
            }
        }
        if let Some((left, _)) = &mut self.quota {
            *left -= 1;
        }
        self.in_flight += 1;
        let is_scout = self.probe == Probe::Wanted;
        if is_scout {
            self.probe = Probe::Sent;
        }
        Ok(is_scout)
    }

    /// The next turn (GCRA), or when to ask for one again. Turns go to whoever comes first.
    fn turn(&mut self, now: Instant, rate: RateLimit) -> Result<Instant, Instant> {
        let next = self.next.map_or(now, |next| next.max(now));
        let early = rate.interval() * (rate.burst() - 1);
        let at = next.checked_sub(early).map_or(now, |at| at.max(now));
        if at.saturating_duration_since(now) > AHEAD_MAX {
            return Err(at.checked_sub(AHEAD_MAX).unwrap_or(now));
        }
        self.next = next.checked_add(rate.interval());
        Ok(at)
    }

    /// What an answer says holds from now on.
    pub(super) fn heard(&mut self, status: StatusCode, hints: &RateLimitHints, now: Instant) {
        // On other statuses `Retry-After` is about this one request.
        if let (true, Some(time)) = (hints.is_limit(status.as_u16()), hints.retry_after) {
            self.paused = self.paused.max(now.checked_add(time.min(PAUSE_MAX)));
        }
        if let Some(quota) = hints.quota.filter(|quota| !quota.reset.is_zero()) {
            // Others may be on their way and not counted yet. At worst a few stay unused.
            let others = self.in_flight.saturating_sub(1);
            let until = now.checked_add(quota.reset.min(PAUSE_MAX));
            self.quota = until.map(|until| (quota.remaining.saturating_sub(others), until));
        }
    }

    /// A request is answered, or has failed.
    pub(super) fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The scout's answer was heard, or it failed.
    pub(super) fn scout_is_back(&mut self) {
        self.probe = Probe::None;
    }

    /// Whether forgetting all this changes nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let over = |moment: Option<Instant>| moment.is_none_or(|moment| moment <= now);
        over(self.next) && over(self.paused) && over(self.quota.map(|(_, until)| until))
    }

    /// When somebody last asked.
    pub(super) fn used(&self) -> Option<Instant> {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hints::Quota;

    fn rate(text: &str) -> Option<RateLimit> {
        Some(text.parse().unwrap())
    }

    /// When each of `count` requests that come at once may go, in milliseconds.
    fn turns(count: usize, rate: Option<RateLimit>) -> Vec<u128> {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let turn = |_| match pace.go(start, rate, &mut None) {
            Ok(_) => 0,
            Err(Wait::Turn(at) | Wait::Upstream(at)) => (at - start).as_millis(),
            Err(Wait::Scout) => panic!("nothing was paused"),
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn turns_are_spread_as_the_rate_says() {
        assert_eq!(turns(4, None), [0, 0, 0, 0]);
        assert_eq!(turns(4, rate("2/1s")), [0, 500, 1000, 1500]);
        assert_eq!(turns(5, rate("4/1s burst 3")), [0, 0, 0, 250, 500]);
        // Turns are given out a minute ahead; who comes later asks again.
        assert_eq!(turns(5, rate("1/40s")), [0, 40_000, 20_000, 20_000, 20_000]);
    }

    #[test]
    fn no_stretch_of_time_has_more_than_the_rate() {
        for text in ["10/1s", "10/1s burst 4", "30/1s burst 3"] {
            let limit = rate(text).unwrap();
            let (mut pace, start) = (Pace::default(), Instant::now());
            let at = |ms| start + Duration::from_millis(ms);
            let mut sent = Vec::new();
            // Somebody asks in each millisecond, and goes at once or gives up its turn's place.
            for ms in 0..5000 {
                let next = pace.next;
                match pace.go(at(ms), Some(limit), &mut None) {
                    Ok(_) => sent.push(ms),
                    Err(_) => pace.next = next,
                }
            }
            let per_second = (1000 / limit.interval().as_millis()) as usize;
            let most = (0..4000).map(|from| {
                let within = sent.iter().filter(|at| (from..from + 1000).contains(*at));
                within.count()
            });
            let most = most.max().unwrap();
            let burst = limit.burst() as usize;
            assert!(most <= per_second + burst, "{text}: {most}");
            assert!(most >= per_second - 1, "{text}: {most}");
        }
    }

    fn pause(seconds: u64) -> RateLimitHints {
        RateLimitHints {
            retry_after: Some(Duration::from_secs(seconds)),
            ..RateLimitHints::default()
        }
    }

    fn quota(remaining: u64, seconds: u64) -> RateLimitHints {
        let reset = Duration::from_secs(seconds);
        RateLimitHints {
            quota: Some(Quota { remaining, reset }),
            is_spent: remaining == 0,
            ..RateLimitHints::default()
        }
    }

    #[test]
    fn the_upstreams_word_is_kept() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // (status, what was said, seconds until the next request, and until the one after it)
        let rows = [
            (200, pause(9), 0, 0),
            (202, pause(9), 0, 0),
            (500, pause(9), 0, 0),
            (403, pause(9), 9, 9),
            (420, pause(9), 9, 9),
            (423, pause(9), 0, 0),
            (429, pause(9), 9, 9),
            (430, pause(9), 9, 9),
            (503, pause(9), 9, 9),
            (503, pause(u64::MAX), 3600, 3600),
            (200, quota(0, 9), 9, 9),
            (200, quota(1, 9), 0, 9),
            (200, quota(2, 9), 0, 0),
            (200, quota(0, 0), 0, 0),
            (429, quota(0, u64::MAX), 3600, 3600),
        ];
        for (status, hints, first, second) in rows {
            let mut pace = Pace::default();
            assert!(pace.go(start, None, &mut None).is_ok());
            pace.heard(StatusCode::from_u16(status).unwrap(), &hints, start);
            pace.landed();
            let silent = hints.quota.is_none_or(|quota| quota.reset.is_zero());
            assert_eq!(
                pace.is_idle(start),
                first == 0 && silent,
                "{status} {hints:?}"
            );
            for wait in [first, second] {
                match pace.go(start, None, &mut None) {
                    Ok(_) => assert_eq!(wait, 0, "{status} {hints:?}"),
                    Err(Wait::Upstream(until)) => assert_eq!(until, at(wait), "{status} {hints:?}"),
                    Err(_) => panic!("there is neither a rate nor a scout"),
                }
            }
            assert!(
                pace.go(at(3600), None, &mut None).is_ok(),
                "{status} {hints:?}"
            );
            assert!(pace.is_idle(at(3600)), "{status} {hints:?}");
        }
    }

    #[test]
    fn requests_on_their_way_count_against_the_quota() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..3 {
            assert!(pace.go(start, None, &mut None).is_ok());
        }
        // Two others may not be counted yet: of 3, one may go.
        pace.heard(StatusCode::OK, &quota(3, 9), start);
        assert!(pace.go(start, None, &mut None).is_ok());
        assert!(pace.go(start, None, &mut None).is_err());
    }
}
