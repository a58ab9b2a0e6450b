//! How long an access token is used: when it is renewed ahead of its end, and what a clock that
//! jumps makes of that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A token is renewed so long before its end, or a tenth of its life where that is less.
pub const AHEAD_MS: u64 = 60_000;
/// A longer life is not believed: a wrong number must not keep a dead token for ever.
pub const LIFETIME_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// When a token came and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    pub obtained_at: Timestamp,
    /// `None` when the server did not say: it is used until it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl Validity {
    /// Of a token that was asked for at `obtained_at` and lives for so long from then.
    #[must_use]
    pub fn new(obtained_at: Timestamp, lifetime: Option<Duration>) -> Self {
        let end = |lifetime: Duration| {
            let ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
            Timestamp(obtained_at.0.saturating_add(ms.min(LIFETIME_MS_MAX)))
        };
        Self {
            obtained_at,
            expires_at: lifetime.map(end),
        }
    }

    /// Whether the token may be used at `now`. One that came in the future did not: the clock was
    /// wrong then, or is now, and nothing is known of its end.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let Some(expires_at) = self.expires_at else {
            return now >= self.obtained_at;
        };
        let lifetime = expires_at.since(self.obtained_at);
        let ahead = AHEAD_MS.min(lifetime / 10);
        now >= self.obtained_at && now.0.saturating_add(ahead) < expires_at.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_until_shortly_before_the_end_whatever_the_clock_does() {
        const SECOND: u64 = 1000;
        const NOW: u64 = 1_700_000_000_000;
        let hour = Some(Duration::from_secs(3600));
        let short = Some(Duration::from_secs(20));
        // (lifetime, now, fresh)
        let rows = [
            (hour, NOW, true),
            (hour, NOW + 3539 * SECOND, true),
            (hour, NOW + 3540 * SECOND, false),
            (short, NOW + 17 * SECOND, true),
            (short, NOW + 18 * SECOND, false),
            (None, NOW + 365 * 86_400 * SECOND, true),
            // The clock steps forwards, and back.
            (hour, u64::MAX, false),
            (hour, NOW - 1, false),
            (None, NOW - 1, false),
            (hour, 0, false),
            // A life of nothing, and one without an end.
            (Some(Duration::ZERO), NOW, false),
            (Some(Duration::MAX), NOW + LIFETIME_MS_MAX, false),
            (Some(Duration::MAX), NOW + SECOND, true),
        ];
        for (lifetime, now, fresh) in rows {
            let validity = Validity::new(Timestamp(NOW), lifetime);
            assert_eq!(
                validity.is_fresh(Timestamp(now)),
                fresh,
                "{lifetime:?} at {now}"
            );
        }
    }
}
