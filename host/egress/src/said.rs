//! What an answer says about the pace: `Retry-After`, and how much of a quota is left until when.
//!
//! Sources: RFC 9110 §10.2.3 (`Retry-After`); draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit:
//! "name";r=0;t=30`), -07 (`RateLimit: limit=9, remaining=0, reset=30`) and -06 (`RateLimit-Remaining`,
//! `RateLimit-Reset`, seconds from now). The `X-RateLimit-*` headers have no text that defines them:
//! `docs/egress.md` lists who means what by them.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Numbers from here on are seconds since 1970 (2001 and later), and from there on milliseconds;
/// smaller ones are seconds from now. No API's window lasts 30 years.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// The spellings of what is left and of when it is full again.
const PAIRS: [(&str, &str); 3] = [
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
];

/// What an answer says about the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    /// Not before this time from now.
    pub retry_after: Option<Duration>,
    pub quota: Option<Quota>,
}

/// What is left of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests.
    pub remaining: u64,
    /// From now until the quota is full again.
    pub reset: Duration,
}

impl Said {
    /// Read an answer's headers. What can't be understood was not said. Moments are compared with
    /// the server's own `Date`, if it sends one, so that two clocks needn't agree; else with `now`.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let then = text(headers, DATE.as_str()).and_then(date).unwrap_or(now);
        let retry_after = text(headers, RETRY_AFTER.as_str());
        let pairs = PAIRS.iter().filter_map(|(remaining, reset)| {
            Some(Quota {
                remaining: count(text(headers, remaining)?)?,
                reset: moment(text(headers, reset)?, then)?,
            })
        });
        let listed = headers.get_all("ratelimit").iter();
        let listed = listed.filter_map(|value| value.to_str().ok());
        Self {
            retry_after: retry_after.and_then(|text| self::retry_after(text, then)),
            quota: pairs.chain(listed.flat_map(structured)).reduce(tighter),
        }
    }
}

/// Of two quotas the one that ends first; of two that have ended, the one that lasts longer.
fn tighter(a: Quota, b: Quota) -> Quota {
    let key = |quota: &Quota| (quota.remaining, std::cmp::Reverse(quota.reset));
    if key(&b) < key(&a) { b } else { a }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// Whole seconds, or a date; one that has passed is now.
fn retry_after(text: &str, then: SystemTime) -> Option<Duration> {
    match count(text) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => Some(date(text)?.duration_since(then).unwrap_or_default()),
    }
}

/// Digits only. More of them than a number has room for are a large number, too.
fn count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The time until a reset, however it is written.
fn moment(text: &str, then: SystemTime) -> Option<Duration> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let Some(number) = plain.then(|| text.parse::<f64>().ok()).flatten() else {
        return Some(date(text)?.duration_since(then).unwrap_or_default());
    };
    let seconds = |number| Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX);
    let since_epoch = if number >= EPOCH_MILLIS {
        seconds(number / 1000.0)
    } else if number >= EPOCH_SECONDS {
        seconds(number)
    } else {
        return Some(seconds(number));
    };
    let then = then.duration_since(SystemTime::UNIX_EPOCH);
    Some(since_epoch.saturating_sub(then.unwrap_or_default()))
}

/// The quotas of one `RateLimit` header: items with `r` and `t`, or the dictionary of draft 07.
fn structured(header: &str) -> Vec<Quota> {
    let quota = |(remaining, reset): (Option<u64>, Option<u64>)| {
        Some(Quota {
            remaining: remaining?,
            reset: Duration::from_secs(reset?),
        })
    };
    let mut quotas = Vec::new();
    let mut dictionary = (None, None);
    for item in outside_quotes(header, ',') {
        let mut listed = (None, None);
        for (key, value) in outside_quotes(item, ';').filter_map(|part| part.split_once('=')) {
            let slot = match key.trim() {
                "r" => &mut listed.0,
                "t" => &mut listed.1,
                "remaining" => &mut dictionary.0,
                "reset" => &mut dictionary.1,
                _ => continue,
            };
            *slot = count(value.trim());
        }
        quotas.extend(quota(listed));
    }
    quotas.extend(quota(dictionary));
    quotas
}

/// The parts of `text` between separators that are not within a quoted name.
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let escape = quoted && c == '\\' && !escaped;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = escape;
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn read(lines: &[(&str, &str)]) -> Said {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Said::read(&headers, date(NOW).unwrap())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let rows = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("86400", Some(86_400)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:57 GMT", Some(20)),
            ("Sunday, 06-Nov-94 08:49:57 GMT", Some(20)),
            ("Sun Nov  6 08:49:57 1994", Some(20)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("7\u{fc}", None),
        ];
        for (text, want) in rows {
            let want = want.map(Duration::from_secs);
            assert_eq!(read(&[("retry-after", text)]).retry_after, want, "{text:?}");
        }
        // A server whose clock is an hour ahead means 20 seconds all the same.
        let ahead = [
            ("date", "Sun, 06 Nov 1994 09:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 09:49:57 GMT"),
        ];
        assert_eq!(read(&ahead).retry_after, Some(Duration::from_secs(20)));
    }

    /// Headers, and what remains with the milliseconds until the reset.
    type Row = (Vec<(&'static str, &'static str)>, Option<(u64, u64)>);

    #[test]
    fn quotas_are_read_in_each_spelling() {
        let x = |reset: &'static str| {
            vec![("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", reset)]
        };
        let one = |text: &'static str| vec![("RateLimit", text)];
        let rows: Vec<Row> = vec![
            (x("30"), Some((0, 30_000))),
            (x("0.5"), Some((0, 500))),
            (x("784111807"), Some((0, 784_111_807_000))), // before 2001: seconds from now
            (x("1000000000"), Some((0, 215_888_223_000))),
            (x("1000000000000"), Some((0, 215_888_223_000))),
            (x("Sun, 06 Nov 1994 08:50:07 GMT"), Some((0, 30_000))),
            (x("Sun, 06 Nov 1994 08:00:00 GMT"), Some((0, 0))),
            (x("soon"), None),
            (x("1e9"), None),
            (x("."), None),
            (x(""), None),
            (vec![("X-RateLimit-Remaining", "0")], None),
            (vec![("X-RateLimit-Reset", "30")], None),
            (
                vec![("x-rate-limit-remaining", "5"), ("x-rate-limit-reset", "9")],
                Some((5, 9000)),
            ),
            (
                vec![("RateLimit-Remaining", "5"), ("RateLimit-Reset", "9")],
                Some((5, 9000)),
            ),
            (
                vec![("RateLimit-Remaining", "-5"), ("RateLimit-Reset", "9")],
                None,
            ),
            (one(r#""default";r=50;t=30"#), Some((50, 30_000))),
            (one(r#""default"; t=30; r=0"#), Some((0, 30_000))),
            (one(r#""default";r=50"#), None),
            (one(r#""a,b;r=0;t=1";r=50;t=30"#), Some((50, 30_000))),
            (one(r#""a\";r=0";r=50;t=30"#), Some((50, 30_000))),
            (
                one(r#""hour";r=999;t=3000, "second";r=0;t=1"#),
                Some((0, 1000)),
            ),
            (
                one(r#""hour";r=0;t=3000, "second";r=0;t=1"#),
                Some((0, 3_000_000)),
            ),
            (one("limit=100, remaining=0, reset=5"), Some((0, 5000))),
            (one("limit=100, reset=5"), None),
            (one("\"default;r=0;t=30"), None),
            (one(",;=,r=,=0"), None),
            (
                vec![
                    ("RateLimit", r#""a";r=9;t=1"#),
                    ("RateLimit", r#""b";r=2;t=7"#),
                ],
                Some((2, 7000)),
            ),
        ];
        for (lines, want) in rows {
            let got = read(&lines).quota;
            let want = want.map(|(remaining, ms)| Quota {
                remaining,
                reset: Duration::from_millis(ms),
            });
            assert_eq!(got, want, "{lines:?}");
        }
    }
}
