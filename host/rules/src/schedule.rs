//! When something is due: a cron expression in a time zone, an interval, or once.
//!
//! Everything is computed from the moment that the caller names; nothing here knows what time it is.

mod cron;

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZoneDatabase;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use cron::{Cron, DstGap};

/// Shortest interval, in milliseconds. Below it polling is the wrong tool, and a typing error
/// (`1s` for `1h`) would hammer an API.
pub const INTERVAL_MS_MIN: u64 = 10_000;
/// Longest interval, in milliseconds: a year of 366 days.
pub const INTERVAL_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Why something is no schedule. Whoever wrote it must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("{0:?} is no interval: write a number and s, m, h or d, such as 15m")]
    Interval(String),
    #[error("an interval lies between 10s and 366d, and {0:?} does not")]
    IntervalBounds(String),
    #[error(
        "a cron expression has five fields (minute, hour, day of month, month, day of week) or is \
         a word such as @daily; {text:?} has {fields}"
    )]
    Fields { text: String, fields: usize },
    #[error("{text:?} is no cron expression: {reason}")]
    Cron { text: String, reason: String },
    #[error("{0:?} is never due: no calendar has such a day")]
    Never(String),
    #[error("{0:?} is no IANA time zone, such as UTC or Europe/Berlin")]
    TimeZone(String),
}

/// When something is due.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    Cron(Box<Cron>),
    Every(Interval),
    Once(Timestamp),
}

impl Timing {
    /// The first moment after `after` at which it is due; `None` when there is none any more.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Every(interval) => Some(interval.next_after(after)),
            Self::Once(at) => (*at > after).then_some(*at),
        }
    }

    /// The first `count` of them.
    pub fn preview(&self, after: Timestamp, count: usize) -> impl Iterator<Item = Timestamp> {
        let next = move |at: &Timestamp| self.next_after(*at);
        std::iter::successors(self.next_after(after), next).take(count)
    }
}

/// An interval, counted from the Unix epoch rather than from any start: a restart changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval {
    ms: u64,
}

impl Interval {
    #[must_use]
    pub fn ms(self) -> u64 {
        self.ms
    }

    fn next_after(self, after: Timestamp) -> Timestamp {
        let passed = after.0 / self.ms;
        Timestamp(passed.saturating_add(1).saturating_mul(self.ms))
    }
}

const UNITS: [(char, u64); 4] = [
    ('d', 86_400_000),
    ('h', 3_600_000),
    ('m', 60_000),
    ('s', 1000),
];

impl FromStr for Interval {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let shown = || text.chars().take(40).collect::<String>();
        let bad = || ScheduleError::Interval(shown());
        let (unit, ms) = UNITS
            .into_iter()
            .find(|(unit, _)| text.ends_with(*unit))
            .ok_or_else(bad)?;
        let number = text.strip_suffix(unit).ok_or_else(bad)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(ms));
        match ms {
            Some(ms) if (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&ms) => Ok(Self { ms }),
            _ => Err(ScheduleError::IntervalBounds(shown())),
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, ms)| self.ms.is_multiple_of(*ms));
        // Always: an interval is parsed, so it is a multiple of a second.
        let (unit, ms) = whole.copied().unwrap_or(('s', 1000));
        write!(f, "{}{unit}", self.ms / ms)
    }
}

/// The time zone of this name.
pub fn zone(name: &str) -> Result<jiff::tz::TimeZone, ScheduleError> {
    let found = zones().get(name).ok();
    found.ok_or_else(|| ScheduleError::TimeZone(name.chars().take(100).collect()))
}

/// The time zones that came with this build, so that a schedule means the same on every machine.
fn zones() -> &'static TimeZoneDatabase {
    static ZONES: std::sync::OnceLock<TimeZoneDatabase> = std::sync::OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_counted_from_the_epoch() {
        for (text, ms, shown) in [
            ("10s", 10_000, "10s"),
            ("15m", 900_000, "15m"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("24h", 86_400_000, "1d"),
            ("366d", INTERVAL_MS_MAX, "366d"),
        ] {
            let interval: Interval = text.parse().unwrap();
            assert_eq!((interval.ms(), interval.to_string()), (ms, shown.into()));
            let timing = Timing::Every(interval);
            assert_eq!(timing.next_after(Timestamp(0)), Some(Timestamp(ms)));
            assert_eq!(timing.next_after(Timestamp(ms - 1)), Some(Timestamp(ms)));
            assert_eq!(timing.next_after(Timestamp(ms)), Some(Timestamp(2 * ms)));
        }
        for bad in [
            "",
            "m",
            "9s",
            "367d",
            "1.5h",
            "+5m",
            "-5m",
            "5",
            "5 m",
            "1w",
            "99999999999999999999d",
            "5M",
        ] {
            assert!(bad.parse::<Interval>().is_err(), "{bad}");
        }
    }

    #[test]
    fn once_is_due_once() {
        let once = Timing::Once(Timestamp(5));
        assert_eq!(once.next_after(Timestamp(4)), Some(Timestamp(5)));
        assert_eq!(once.next_after(Timestamp(5)), None);
        assert_eq!(once.preview(Timestamp(0), 10).count(), 1);
    }
}
