//! The formats in which APIs write points in time. Inside they are Unix time in milliseconds.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use serde::Deserialize;

/// How a point in time, or a cursor that stands for one, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// `2026-01-31T12:00:00Z`, and what else frameworks write as text: see [`Format::parse`].
    Rfc3339,
    /// `2026-01-31T12:00:00` in the zone that the config names.
    Local,
    /// `2026-01-31`, in UTC.
    Date,
    /// Unix time in seconds, with or without a fraction.
    EpochS,
    /// Unix time in milliseconds.
    EpochMs,
    /// A text or number that only the API understands.
    Opaque,
}

/// A time as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Unix time in milliseconds, rounded down.
    pub(crate) ms: i64,
    /// It had no offset and no zone was named, so it was taken for UTC.
    pub(crate) assumed_utc: bool,
}

impl Format {
    /// As the config names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Rfc3339 => "rfc3339",
            Format::Local => "local",
            Format::Date => "date",
            Format::EpochS => "epoch_s",
            Format::EpochMs => "epoch_ms",
            Format::Opaque => "opaque",
        }
    }

    /// The time; `None` for what is not of this format. `zone` is that of times without an offset.
    ///
    /// `rfc3339` and `local` read ISO 8601 with a `T` or a space, in the extended and the basic form; with
    /// an offset as `Z`, `+02:00`, `+0200` or `+02`, perhaps after a space, or as `UTC` or `GMT`; the dates
    /// of RFC 2822 and of HTTP; and `/Date(1769860800000+0000)/`. The epochs read numbers with a
    /// fraction and an exponent, as Java and Go write large ones.
    pub(crate) fn parse(self, text: &str, zone: Option<&TimeZone>) -> Option<Read> {
        let exact = |ms| Read {
            ms,
            assumed_utc: false,
        };
        match self {
            Format::Rfc3339 | Format::Local => match text.parse::<Timestamp>() {
                Ok(time) => Some(exact(floor(time))),
                Err(_) => written(text.trim(), zone),
            },
            Format::Date => {
                let date = text.parse::<Date>().ok()?;
                in_zone(date.into(), None).map(|read| exact(read.ms))
            }
            Format::EpochS => scaled(text, 3).map(exact),
            Format::EpochMs => scaled(text, 0).map(exact),
            Format::Opaque => None,
        }
    }

    /// Written so, rounded down to the format's resolution.
    pub(crate) fn write(self, ms: i64, zone: Option<&TimeZone>) -> String {
        let Ok(time) = Timestamp::from_millisecond(ms) else {
            return ms.to_string();
        };
        match self {
            Format::Rfc3339 => time.to_string(),
            Format::Local => zone.unwrap_or(&TimeZone::UTC).to_datetime(time).to_string(),
            Format::Date => TimeZone::UTC.to_datetime(time).date().to_string(),
            Format::EpochS => ms.div_euclid(1_000).to_string(),
            Format::EpochMs | Format::Opaque => ms.to_string(),
        }
    }
}

/// Whether this stands where a time is for "none", as null does: nothing at all, or the zeros of MySQL.
pub(crate) fn is_none(text: &str) -> bool {
    text.is_empty() || text.starts_with("0000-00-00")
}

/// The zone of this IANA name, such as `Europe/Berlin`, or of this offset.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    if let Ok(zone) = TimeZone::get(name) {
        return Some(zone);
    }
    let rest = name.strip_prefix(['+', '-'])?;
    let (hours, minutes) = rest.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
    let seconds = if name.starts_with('-') {
        -seconds
    } else {
        seconds
    };
    jiff::tz::Offset::from_seconds(seconds)
        .ok()
        .map(TimeZone::fixed)
}

/// The time of an HTTP header such as `Date`.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text);
    time.ok().map(floor)
}

/// A time as text that is not quite RFC 3339.
fn written(text: &str, zone: Option<&TimeZone>) -> Option<Read> {
    let exact = |ms| Read {
        ms,
        assumed_utc: false,
    };
    if let Ok(time) = text.parse::<DateTime>() {
        return in_zone(time, zone);
    }
    if let Some(ms) = http_date(text) {
        return Some(exact(ms));
    }
    if let Some(inner) = text
        .strip_prefix("/Date(")
        .and_then(|t| t.strip_suffix(")/"))
    {
        // The offset only says where it was shown.
        let digits = inner.find(['+', '-']).filter(|at| *at > 0);
        return scaled(inner.get(..digits.unwrap_or(inner.len()))?, 0).map(exact);
    }
    if let Some((time, offset)) = split_offset(text) {
        let joined = match time.trim_end() {
            time if midnight(time).is_some() => {
                let next = midnight(time)?;
                format!("{next}{offset}")
            }
            time => format!("{time}{offset}"),
        };
        return joined
            .parse::<Timestamp>()
            .ok()
            .map(|time| exact(floor(time)));
    }
    in_zone(midnight(text)?, zone)
}

/// The offset at the end, as RFC 3339 has it, and what is before it.
fn split_offset(text: &str) -> Option<(&str, &str)> {
    for name in ["UTC", "GMT", "Z", "z"] {
        if let Some(time) = text.strip_suffix(name) {
            return Some((time, "Z"));
        }
    }
    let (time, offset) = text.split_at(text.rfind(['+', '-'])?);
    // A date has dashes, too; what is an offset comes after a time.
    time.contains(':').then_some((time, offset))
}

/// `2026-01-31T24:00:00` is when the next day begins (ISO 8601).
fn midnight(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let rest = time.strip_prefix("24:00")?;
    let date = date.parse::<Date>().ok()?;
    let is_midnight = rest.chars().all(|c| matches!(c, ':' | '.' | '0'));
    is_midnight.then_some(DateTime::from(date.tomorrow().ok()?))
}

fn in_zone(time: DateTime, zone: Option<&TimeZone>) -> Option<Read> {
    // Where the clock is set back, of the two moments the earlier.
    let zoned = zone.unwrap_or(&TimeZone::UTC).to_timestamp(time).ok()?;
    Some(Read {
        ms: floor(zoned),
        assumed_utc: zone.is_none(),
    })
}

/// A decimal number times 10 to the power of `shift`, rounded towards zero: away from it would be later.
fn scaled(text: &str, shift: i32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    // The point moves to the right by so many digits.
    let point = i32::try_from(whole.len())
        .ok()?
        .checked_add(exponent)?
        .checked_add(shift)?;
    let all = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat(b'0'));
    let point = usize::try_from(point).unwrap_or(0);
    // More digits than an i64 has, zeros in front aside, are no time.
    let value = all.take(point.min(64)).try_fold(0_i64, |value, digit| {
        value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
    })?;
    (point <= 64).then_some(if negative { -value } else { value })
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
    use super::{Format, http_date, zone};

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
            assert_eq!(
                format.parse(text, None).map(|read| read.ms),
                Some(ms),
                "{text}"
            );
            assert_eq!(format.write(ms, None), written);
        }
        assert_eq!(Format::Date.write(1_769_860_800_123, None), "2026-01-31");
    }

    /// All the same second, as frameworks write it.
    #[test]
    fn one_second_in_many_forms() {
        let ms = 1_769_860_800_000;
        for (format, text) in [
            (Format::Rfc3339, "2026-01-31T12:00:00+00:00"),
            (Format::Rfc3339, "2026-01-31t12:00:00z"),
            (Format::Rfc3339, "2026-01-31T14:00:00+0200"),
            (Format::Rfc3339, "2026-01-31T14:00:00+02"),
            (Format::Rfc3339, "2026-01-31T12:00Z"),
            (Format::Rfc3339, "20260131T120000Z"),
            (Format::Rfc3339, "2026-01-31 12:00:00 UTC"),
            (Format::Rfc3339, "2026-01-31 12:00:00 +0000"),
            (Format::Rfc3339, "2026-01-31 07:00:00 -0500"),
            (Format::Rfc3339, "2026-01-31 12:00:00+00"),
            (Format::Rfc3339, "2026-01-31T12:00:00.000 GMT"),
            (Format::Rfc3339, "Sat, 31 Jan 2026 12:00:00 GMT"),
            (Format::Rfc3339, "Sat, 31 Jan 2026 13:00:00 +0100"),
            (Format::Rfc3339, "/Date(1769860800000)/"),
            (Format::Rfc3339, "/Date(1769860800000+0200)/"),
            (Format::Local, "2026-01-31T12:00:00Z"),
            (Format::EpochS, "1.7698608E9"),
            (Format::EpochS, "1.7698608e+09"),
            (Format::EpochS, "1769860800.000247"),
            (Format::EpochS, "17698608000e-1"),
            (Format::EpochMs, "1.7698608E+12"),
            (Format::EpochMs, "1769860800000.75"),
        ] {
            let read = format.parse(text, None).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((read.ms, read.assumed_utc), (ms, false), "{text}");
        }
        let midnight = Format::Rfc3339.parse("2026-01-30T24:00:00Z", None);
        assert_eq!(midnight.map(|read| read.ms), Some(1_769_817_600_000));
    }

    #[test]
    fn local_times_need_a_zone() {
        let berlin = zone("Europe/Berlin").unwrap();
        for (text, zone, ms, assumed_utc) in [
            ("2026-01-31T12:00:00", None, 1_769_860_800_000, true),
            (
                "2026-01-31 13:00:00",
                Some(&berlin),
                1_769_860_800_000,
                false,
            ),
            ("2026-01-31T24:00", Some(&berlin), 1_769_900_400_000, false),
            // Its own offset counts.
            (
                "2026-01-31T12:00:00Z",
                Some(&berlin),
                1_769_860_800_000,
                false,
            ),
            // The clock was set back: the earlier of the two.
            (
                "2025-10-26T02:30:00",
                Some(&berlin),
                1_761_438_600_000,
                false,
            ),
        ] {
            let read = Format::Rfc3339.parse(text, zone).unwrap();
            assert_eq!((read.ms, read.assumed_utc), (ms, assumed_utc), "{text}");
        }
        let local = Format::Local.write(1_769_860_800_500, Some(&berlin));
        assert_eq!(local, "2026-01-31T13:00:00.5");
        let minus = zone("-05:30").unwrap();
        assert_eq!(
            Format::Local.write(1_769_860_800_000, Some(&minus)),
            "2026-01-31T06:30:00"
        );
        for name in ["", "Berlin", "+2", "Mars/Olympus"] {
            assert!(zone(name).is_none(), "{name}");
        }
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
            (Format::Rfc3339, "2026-01-31 12:00:00 CET"),
            (Format::Rfc3339, "31/01/2026 12:00"),
            (Format::Rfc3339, "/Date(x)/"),
            (Format::EpochS, "1e400"),
            (Format::EpochS, "1e"),
            (Format::EpochS, "."),
            (Format::EpochS, "NaN"),
            (Format::EpochMs, "soon"),
            (Format::Opaque, "1"),
        ] {
            assert_eq!(format.parse(text, None), None, "{text}");
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
