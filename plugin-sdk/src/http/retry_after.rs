//! When a server wants to be asked again: `Retry-After` in every form that is met.
//!
//! RFC 9110 §10.2.3 knows whole seconds and a date. Real servers also send fractions (Shopify's
//! `2.0`), units (`3 seconds`), the header twice (`3, 3`), a moment in Unix seconds or
//! milliseconds, and ISO dates. Own code, as a crate for dates makes a plugin 6 KiB larger. The host
//! reads the same forms; `tests/vectors/retry_after.json` is what both are tested with.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// From here on a number is a moment in seconds since 1970, and from there on in milliseconds; both
/// as thousandths. Nobody is told to wait for 30 years.
const EPOCH_SECONDS: u64 = 1_000_000_000 * 1_000;
const EPOCH_MILLIS: u64 = EPOCH_SECONDS * 1_000;

/// How many milliseconds to wait, seen from `now` (Unix milliseconds), rounded up. A moment in the past
/// is 0; of a list it is the longest.
pub(super) fn wait_ms(text: &str, now: u64) -> Option<u64> {
    if let Some(wait) = one(text.trim(), now) {
        return Some(wait);
    }
    let waits = text.split(',').map(|part| one(part.trim(), now));
    waits.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

fn one(text: &str, now: u64) -> Option<u64> {
    number(text, now).or_else(|| Some(date_ms(text)?.saturating_sub(now)))
}

/// A number of seconds or of the unit that follows it, or a moment as a number.
fn number(text: &str, now: u64) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let thousandths = thousandths(digits)?;
    match unit.trim() {
        "" if thousandths >= EPOCH_MILLIS => Some((thousandths / 1_000).saturating_sub(now)),
        "" if thousandths >= EPOCH_SECONDS => Some(thousandths.saturating_sub(now)),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(thousandths),
        "ms" | "msec" | "millisecond" | "milliseconds" => Some(thousandths.div_ceil(1_000)),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(thousandths.saturating_mul(60)),
        _ => None,
    }
}

/// `2.503` as 2503, rounded up.
pub(super) fn thousandths(digits: &str) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = whole.bytes().chain(fraction.bytes());
    if digits.len() > 40
        || whole.len() + fraction.len() == 0
        || !all.clone().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    // More digits than a number has room for are a large number, too.
    let whole = match whole {
        "" => 0,
        whole => whole.parse().unwrap_or(u64::MAX),
    };
    let (kept, rest) = fraction.split_at(fraction.len().min(3));
    let kept: u64 = format!("{kept:0<3}").parse().ok()?;
    let up = u64::from(rest.bytes().any(|byte| byte != b'0'));
    Some(whole.saturating_mul(1_000).saturating_add(kept + up))
}

/// A date as Unix milliseconds; none before 1970.
fn date_ms(date: &str) -> Option<u64> {
    match date.split_once(',') {
        Some((_, date)) => http_date_ms(date.strip_prefix(' ')?),
        None => iso_date_ms(date),
    }
}

/// `06 Nov 1994 08:49:37 GMT`, as senders must write it, or `06-Nov-94 08:49:37 GMT` as they once did.
fn http_date_ms(date: &str) -> Option<u64> {
    let mut parts = date.split([' ', ':', '-']);
    let day = up_to(31, parts.next())?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = match parts.next()? {
        short if short.len() == 2 => match up_to(99, Some(short))? {
            year @ 70.. => 1_900 + year,
            year => 2_000 + year,
        },
        year => up_to(9_999, Some(year))?,
    };
    let seconds = seconds_of_day(&mut parts, up_to)?;
    if parts.next()? != "GMT" || parts.next().is_some() {
        return None;
    }
    Some((days(year, month, day)? * 86_400 + seconds) * 1_000)
}

/// `1994-11-06T08:49:37.5Z` or with an offset (RFC 3339).
fn iso_date_ms(date: &str) -> Option<u64> {
    let (date, time) = date.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let year = up_to(9_999, parts.next().filter(|year| year.len() == 4))?;
    let (month, day) = (up_to(12, parts.next())?, up_to(31, parts.next())?);
    if parts.next().is_some() {
        return None;
    }
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let seconds = seconds_of_day(&mut time.split(':'), up_to)?;
    let utc = (days(year, month, day)? * 86_400 + seconds) * 1_000
        + thousandths(&format!("0.{fraction}"))?;
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        Some((up_to(23, Some(hours))? * 60 + up_to(59, Some(minutes))?) * 60_000)
    };
    match zone.split_at(1) {
        ("Z" | "z", "") => Some(utc),
        ("+", east) => utc.checked_sub(minutes(east)?),
        ("-", west) => utc.checked_add(minutes(west)?),
        _ => None,
    }
}

fn seconds_of_day<'a>(
    parts: &mut impl Iterator<Item = &'a str>,
    number: fn(u64, Option<&str>) -> Option<u64>,
) -> Option<u64> {
    let (hour, minute) = (number(23, parts.next())?, number(59, parts.next())?);
    Some((hour * 60 + minute) * 60 + number(60, parts.next())?)
}

/// Days since 1970-01-01, counting years from March (Howard Hinnant's `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    month.checked_sub(1)?;
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

fn up_to(max: u64, digits: Option<&str>) -> Option<u64> {
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|number| *number <= max)
}

#[cfg(test)]
mod tests {
    use super::{date_ms, wait_ms};

    #[test]
    fn every_form_that_is_met() {
        let vectors = include_str!("../../tests/vectors/retry_after.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let now = vectors["now_ms"].as_u64().unwrap();
        let rows = vectors["waits"].as_array().unwrap();
        assert!(rows.len() > 40);
        for row in rows {
            let text = row[0].as_str().unwrap();
            assert_eq!(wait_ms(text, now), row[1].as_u64(), "{text:?}");
        }
        assert_eq!(wait_ms("99999999999999999999", 0), Some(u64::MAX / 1_000));
    }

    #[test]
    fn dates() {
        for (date, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777_000)),
            ("1994-11-06T08:49:37Z", Some(784_111_777_000)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799_000)),
            ("Sun, 01 Mar 2026 00:00:00 GMT", Some(1_772_323_200_000)),
            ("Fri, 31 Dec 2100 12:00:00 GMT", Some(4_133_937_600_000)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT x", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("1994-00-06T08:49:37Z", None),
            ("1994-11-06T08:49:37+1", None),
        ] {
            assert_eq!(date_ms(date), expected, "{date}");
        }
    }
}
