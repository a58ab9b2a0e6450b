//! Requests without an accepted key: how fast they may come from one address, and how many of them the log tells of.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::bounds::Bounds;
use super::places::Peer;

/// Addresses of which it is remembered how fast they ask, before those that have been quiet are forgotten.
const PEERS: usize = 10_000;
/// Lines a second that the log has of what strangers can cause, and lines at once.
const LINES: u32 = 5;
const LINES_BURST: u32 = 50;

/// So many a second, and so many at once.
fn quota(rate: u32, burst: u32) -> Quota {
    let number = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(number(rate)).allow_burst(number(burst))
}

/// See the module.
pub(crate) struct Strangers {
    pace: DefaultKeyedRateLimiter<Peer>,
    /// What the log tells of their requests.
    pub(super) lines: Sampled,
    /// What it tells of requests that a full server turned away.
    pub(super) turned_away: Sampled,
}

impl Strangers {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let (rate, burst) = (
            number(bounds.keyless_requests),
            number(bounds.keyless_burst),
        );
        Self {
            pace: RateLimiter::keyed(quota(rate, burst)),
            lines: Sampled::default(),
            turned_away: Sampled::default(),
        }
    }

    /// Count a request, or say how long its client has to wait.
    pub(super) fn admit(&self, peer: Peer) -> Result<(), Duration> {
        if self.pace.len() > PEERS {
            self.pace.retain_recent();
        }
        let admitted = self.pace.check_key(&peer);
        admitted.map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }

    /// Tell of what was left out, once there is time for it.
    pub(crate) fn settle(&self) {
        for (what, sampled) in [("keyless", &self.lines), ("turned away", &self.turned_away)] {
            let unlogged = sampled.left_out.swap(0, Ordering::Relaxed);
            if unlogged > 0 {
                tracing::info!(what, unlogged, "requests that have no lines of their own");
            }
        }
    }
}

/// Lines of the log of which there may be too many: some are written, and the next one tells how many were not.
pub(super) struct Sampled {
    pace: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl Default for Sampled {
    fn default() -> Self {
        Self {
            pace: RateLimiter::direct(quota(LINES, LINES_BURST)),
            left_out: AtomicU64::new(0),
        }
    }
}

impl Sampled {
    /// Whether to write this line, and how many before it were not written.
    pub(super) fn pass(&self) -> Option<u64> {
        if self.pace.check().is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_pace_of_its_own() {
        let bounds = Bounds {
            keyless_requests: 1,
            keyless_burst: 3,
            ..Bounds::default()
        };
        let strangers = Strangers::new(&bounds);
        let peers = ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:0:1::1"];
        for peer in peers.map(|text| Peer::from(text.parse::<std::net::IpAddr>().unwrap())) {
            let admitted = (0..100).take_while(|_| strangers.admit(peer).is_ok());
            assert_eq!(admitted.count(), 3, "{peer:?}");
        }
        // The same /64, and an IPv4 address written as IPv6.
        for same in ["2001:db8::2", "::ffff:10.0.0.1"] {
            let peer = Peer::from(same.parse::<std::net::IpAddr>().unwrap());
            assert!(strangers.admit(peer).is_err(), "{same}");
        }
    }

    #[test]
    fn what_has_no_line_is_counted() {
        let sampled = Sampled::default();
        let written = (0..1000).filter(|_| sampled.pass().is_some()).count();
        assert!((50..100).contains(&written), "{written}");
        assert_eq!(
            sampled.left_out.load(Ordering::Relaxed),
            1000 - written as u64
        );
    }
}
