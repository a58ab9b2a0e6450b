//! The header `Retry-After` (RFC 9110 §10.2.3): seconds or a date.
//!
//! Own code for the date, as a crate for it makes a plugin 6 KiB larger. Of the three forms of
//! an HTTP date only the one that senders must use is read (`Sun, 06 Nov 1994 08:49:37 GMT`).

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// How many milliseconds to wait, seen from `now` (Unix milliseconds). A date in the past is 0.
pub(super) fn wait_ms(header: &str, now: u64) -> Option<u64> {
    let header = header.trim();
    match header.parse::<u64>() {
        Ok(seconds) => Some(seconds.saturating_mul(1_000)),
        Err(_) => Some(date_ms(header)?.saturating_sub(now)),
    }
}

/// An HTTP date as Unix milliseconds; none before 1970.
fn date_ms(date: &str) -> Option<u64> {
    let (_, date) = date.split_once(',')?;
    let mut parts = date.strip_prefix(' ')?.split([' ', ':']);
    let day = up_to(31, parts.next())?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year = up_to(9_999, parts.next())?;
    let hour = up_to(23, parts.next())?;
    let minute = up_to(59, parts.next())?;
    let second = up_to(60, parts.next())?;
    if parts.next()? != "GMT" || parts.next().is_some() {
        return None;
    }
    // Days since 1970-01-01, counting years from March (Howard Hinnant's days_from_civil).
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000)
}

fn up_to(max: u64, digits: Option<&str>) -> Option<u64> {
    digits?.parse().ok().filter(|number| *number <= max)
}

#[cfg(test)]
mod tests {
    use super::{date_ms, wait_ms};

    #[test]
    fn headers() {
        let now = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        for (header, expected) in [
            ("7", Some(7_000)),
            (" 0 ", Some(0)),
            ("99999999999999999999", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait_ms(header, now), expected, "{header}");
        }
    }

    #[test]
    fn dates() {
        for (date, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799_000)),
            ("Sun, 01 Mar 2026 00:00:00 GMT", Some(1_772_323_200_000)),
            ("Fri, 31 Dec 2100 12:00:00 GMT", Some(4_133_937_600_000)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT x", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(date_ms(date), expected, "{date}");
        }
    }
}
