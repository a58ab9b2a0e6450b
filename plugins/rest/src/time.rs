//! The formats in which APIs write points in time. Inside they are Unix time in milliseconds.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Deserialize;

/// How a point in time, or a cursor that stands for one, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// `2026-01-31T12:00:00Z`; a time without an offset is taken for UTC.
    Rfc3339,
    /// `2026-01-31`, in UTC.
    Date,
    /// Unix time in seconds, with or without a fraction.
    EpochS,
    /// Unix time in milliseconds.
    EpochMs,
    /// A text or number that only the API understands.
    Opaque,
}

impl Format {
    /// As the config names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Rfc3339 => "rfc3339",
            Format::Date => "date",
            Format::EpochS => "epoch_s",
            Format::EpochMs => "epoch_ms",
            Format::Opaque => "opaque",
        }
    }

    /// Unix time in milliseconds, rounded down; `None` for what is not of this format.
    pub(crate) fn parse(self, text: &str) -> Option<i64> {
        match self {
            Format::Rfc3339 => match text.parse::<Timestamp>() {
                Ok(time) => Some(floor(time)),
                Err(_) => text.parse::<DateTime>().ok().and_then(in_utc),
            },
            Format::Date => text
                .parse::<Date>()
                .ok()
                .and_then(|date| in_utc(date.into())),
            Format::EpochS => {
                let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
                let seconds: i64 = seconds.parse().ok()?;
                if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
                    return None;
                }
                let mut digits = fraction.bytes().map(|digit| i64::from(digit - b'0'));
                let ms = (0..3).fold(0, |ms, _| ms * 10 + digits.next().unwrap_or(0));
                // A fraction counts away from zero, so before 1970 the second before is the floor.
                let ms = if text.starts_with('-') { -ms } else { ms };
                seconds.checked_mul(1_000)?.checked_add(ms)
            }
            Format::EpochMs => text.split('.').next()?.parse().ok(),
            Format::Opaque => None,
        }
    }

    /// Written so, rounded down to the format's resolution.
    pub(crate) fn write(self, ms: i64) -> String {
        match self {
            Format::Rfc3339 => match Timestamp::from_millisecond(ms) {
                Ok(time) => time.to_string(),
                Err(_) => ms.to_string(),
            },
            Format::Date => match Timestamp::from_millisecond(ms) {
                Ok(time) => TimeZone::UTC.to_datetime(time).date().to_string(),
                Err(_) => ms.to_string(),
            },
            Format::EpochS => ms.div_euclid(1_000).to_string(),
            Format::EpochMs | Format::Opaque => ms.to_string(),
        }
    }
}

/// The time of an HTTP header such as `Date`.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    time.ok().map(floor)
}

fn in_utc(time: DateTime) -> Option<i64> {
    TimeZone::UTC.to_timestamp(time).ok().map(floor)
}

fn floor(time: Timestamp) -> i64 {
    // Of a time before 1970 the fraction counts away from zero.
    let ms = time.as_millisecond();
    let exact = time.as_nanosecond() == i128::from(ms) * 1_000_000;
    if ms <= 0 && !exact && time.as_nanosecond() < 0 {
        ms - 1
    } else {
        ms
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, http_date};

    #[test]
    fn read_and_written() {
        for (format, text, ms, written) in [
            (
                Format::Rfc3339,
                "2026-01-31T12:00:00Z",
                1_769_860_800_000,
                "2026-01-31T12:00:00Z",
            ),
            (
                Format::Rfc3339,
                "2026-01-31T13:00:00.5+01:00",
                1_769_860_800_500,
                "2026-01-31T12:00:00.5Z",
            ),
            (
                Format::Rfc3339,
                "2026-01-31T12:00:00.123999Z",
                1_769_860_800_123,
                "2026-01-31T12:00:00.123Z",
            ),
            (
                Format::Rfc3339,
                "2026-01-31 12:00:00",
                1_769_860_800_000,
                "2026-01-31T12:00:00Z",
            ),
            (
                Format::Rfc3339,
                "1969-12-31T23:59:59.9999Z",
                -1,
                "1969-12-31T23:59:59.999Z",
            ),
            (Format::Date, "2026-01-31", 1_769_817_600_000, "2026-01-31"),
            (
                Format::EpochS,
                "1769860800",
                1_769_860_800_000,
                "1769860800",
            ),
            (
                Format::EpochS,
                "1769860800.98765",
                1_769_860_800_987,
                "1769860800",
            ),
            (Format::EpochS, "-1.5", -1_500, "-2"),
            (
                Format::EpochMs,
                "1769860800123",
                1_769_860_800_123,
                "1769860800123",
            ),
        ] {
            assert_eq!(format.parse(text), Some(ms), "{text}");
            assert_eq!(format.write(ms), written);
        }
        assert_eq!(Format::Date.write(1_769_860_800_123), "2026-01-31");
    }

    #[test]
    fn not_of_the_format() {
        for (format, text) in [
            (Format::Rfc3339, "yesterday"),
            (Format::Rfc3339, "2026-13-01T00:00:00Z"),
            (Format::Rfc3339, ""),
            (Format::Date, "31.01.2026"),
            (Format::EpochS, "2026-01-31"),
            (Format::EpochS, "1.x"),
            (Format::EpochS, "9223372036854775807"),
            (Format::EpochMs, "soon"),
            (Format::Opaque, "1"),
        ] {
            assert_eq!(format.parse(text), None, "{text}");
        }
    }

    #[test]
    fn headers() {
        assert_eq!(
            http_date("Sat, 31 Jan 2026 12:00:00 GMT"),
            Some(1_769_860_800_000)
        );
        assert_eq!(http_date("2026-01-31"), None);
    }
}
