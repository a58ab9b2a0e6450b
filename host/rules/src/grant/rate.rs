//! How fast a connection may ask one origin, as a manifest requests it and an operator sets it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest `per_ms`: a day.
pub const RATE_PER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// At most `requests` in `per_ms`, evenly spread, and `burst` of them at once.
///
/// It holds for each (integration, connection, origin) on its own, over all runs of the process;
/// retries and redirects count. In any stretch of `per_ms` no more than `requests + burst` are
/// sent, so an API that counts in fixed windows wants `burst` small; it is 1 unless set.
///
/// As text, for a command line: `100/60s`, `5/1s burst 10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawRate")]
pub struct RateLimit {
    requests: NonZeroU32,
    /// Milliseconds, 1 to [`RATE_PER_MS_MAX`].
    per_ms: u64,
    burst: NonZeroU32,
}

/// Why a rate is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    #[error("requests, per_ms and burst are each at least 1: a rate of 0 would send nothing")]
    Zero,
    #[error("per_ms is at most {RATE_PER_MS_MAX}, a day")]
    Long,
    #[error("burst {burst} is more than the {requests} requests it is a part of")]
    Burst { burst: u32, requests: u32 },
    #[error(
        "{0:?} is not a rate: write REQUESTS/TIME, such as 100/60s, 10/500ms or 600/1m, and \
         \" burst N\" for N at once"
    )]
    Text(String),
}

/// As JSON has it, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRate {
    requests: u32,
    per_ms: u64,
    #[serde(default = "one")]
    burst: u32,
}

fn one() -> u32 {
    1
}

impl RateLimit {
    /// `requests` and `burst` are at least 1, `burst` at most `requests`, `per_ms` at most a day.
    pub fn new(requests: u32, per_ms: u64, burst: u32) -> Result<Self, RateLimitError> {
        let (Some(many), Some(at_once)) = (NonZeroU32::new(requests), NonZeroU32::new(burst))
        else {
            return Err(RateLimitError::Zero);
        };
        match per_ms {
            0 => Err(RateLimitError::Zero),
            _ if per_ms > RATE_PER_MS_MAX => Err(RateLimitError::Long),
            _ if burst > requests => Err(RateLimitError::Burst { burst, requests }),
            _ => Ok(Self {
                requests: many,
                per_ms,
                burst: at_once,
            }),
        }
    }

    /// The time between two requests, once the burst is used up.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_millis(self.per_ms) / self.requests.get()
    }

    /// How many in [`Self::per_ms`].
    #[must_use]
    pub fn requests(self) -> u32 {
        self.requests.get()
    }

    /// Milliseconds, 1 to [`RATE_PER_MS_MAX`].
    #[must_use]
    pub fn per_ms(self) -> u64 {
        self.per_ms
    }

    /// How many may go at once after a time of silence.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst.get()
    }
}

impl TryFrom<RawRate> for RateLimit {
    type Error = RateLimitError;

    fn try_from(written: RawRate) -> Result<Self, RateLimitError> {
        Self::new(written.requests, written.per_ms, written.burst)
    }
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        let error = || RateLimitError::Text(text.chars().take(100).collect());
        let (rate, burst) = match text.split_once(" burst ") {
            Some((rate, burst)) => (rate, burst.parse().map_err(|_| error())?),
            None => (text, 1),
        };
        let (requests, time) = rate.split_once('/').ok_or_else(error)?;
        let digits = time.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = match time.get(digits.len()..).unwrap_or_default() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(error()),
        };
        let number: u64 = digits.parse().map_err(|_| error())?;
        let requests = requests.parse().map_err(|_| error())?;
        Self::new(requests, number.saturating_mul(unit), burst)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}ms", self.requests, self.per_ms)?;
        if self.burst.get() > 1 {
            write!(f, " burst {}", self.burst)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text, and its interval in ms with its burst, or a part of the error.
    type Row = (&'static str, Result<(u64, u32), &'static str>);

    #[test]
    fn texts_and_json_say_the_same_or_why_not() {
        let rows: &[Row] = &[
            ("100/60s", Ok((600, 1))),
            ("100/1m", Ok((600, 1))),
            ("5/1s burst 5", Ok((200, 5))),
            ("1/10ms", Ok((10, 1))),
            ("1/24h", Ok((86_400_000, 1))),
            ("0/1s", Err("at least 1")),
            ("1/0s", Err("at least 1")),
            ("1/1s burst 0", Err("at least 1")),
            ("1/25h", Err("a day")),
            ("5/1s burst 6", Err("more than the 5")),
            ("5", Err("REQUESTS/TIME")),
            ("5/s", Err("REQUESTS/TIME")),
            ("5/1", Err("REQUESTS/TIME")),
            ("5/1d", Err("REQUESTS/TIME")),
            ("-5/1s", Err("REQUESTS/TIME")),
            ("5/1s burst", Err("REQUESTS/TIME")),
            ("5/99999999999999999999s", Err("REQUESTS/TIME")),
            ("5/18446744073709551615h", Err("a day")),
        ];
        for (text, want) in rows {
            match (text.parse::<RateLimit>(), want) {
                (Ok(rate), Ok((ms, burst))) => {
                    assert_eq!(rate.interval(), Duration::from_millis(*ms), "{text}");
                    assert_eq!(rate.burst(), *burst, "{text}");
                    assert_eq!(rate.to_string().parse(), Ok(rate), "{text}");
                    let json = serde_json::to_string(&rate).unwrap();
                    assert_eq!(serde_json::from_str::<RateLimit>(&json).unwrap(), rate);
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
