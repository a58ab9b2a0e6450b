//! What an answer says about the pace: `Retry-After`, and how much of a quota is left until when.
//!
//! Sources: RFC 9110 §10.2.3 (`Retry-After`, with the forms besides that `docs/egress.md` lists); draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit:
//! "name";r=0;t=30`), -07 (`RateLimit: limit=9, remaining=0, reset=30`) and -06 (`RateLimit-Remaining`,
//! `RateLimit-Reset`, seconds from now). The `X-RateLimit-*` headers have no text that defines them:
//! `docs/egress.md` lists who means what by them.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::DATE;

/// Numbers from here on are seconds since 1970 (2001 and later), and from there on milliseconds;
/// smaller ones are seconds from now. No API's window lasts 30 years. Both as thousandths.
const EPOCH_SECONDS: u64 = 1_000_000_000 * 1000;
const EPOCH_MILLIS: u64 = EPOCH_SECONDS * 1000;

/// Headers that say when to ask again. In what ends on `-ms` the number counts milliseconds.
const RETRY_AFTER: [&str; 4] = [
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-retry-after",
];

/// The spellings of what is left and of when it is full again.
const PAIRS: [(&str, &str); 3] = [
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
];

/// What an answer says about the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimitHints {
    /// Not before this time from now.
    pub retry_after: Option<Duration>,
    pub quota: Option<Quota>,
    /// Nothing is left of one of its quotas, whether or not it says until when.
    pub is_spent: bool,
}

/// What is left of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests.
    pub remaining: u64,
    /// From now until the quota is full again.
    pub reset: Duration,
}

impl RateLimitHints {
    /// Read an answer's headers. What can't be understood was not said. Moments are compared with
    /// the server's own `Date`, if it sends one, so that two clocks needn't agree; else with `now`.
    #[must_use]
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Self {
        let then = text(headers, DATE.as_str()).and_then(date).unwrap_or(now);
        let retry_after = RETRY_AFTER
            .iter()
            .filter_map(|name| asked(headers, name, then));
        let pairs = PAIRS.iter().filter_map(|(remaining, reset)| {
            Some(Quota {
                remaining: count(text(headers, remaining)?)?,
                reset: moment(text(headers, reset)?, then)?,
            })
        });
        let listed = headers.get_all("ratelimit").iter();
        let listed = listed.filter_map(|value| value.to_str().ok());
        let quota = pairs.chain(listed.flat_map(structured)).reduce(tighter);
        let mut left = PAIRS.iter().filter_map(|(name, _)| text(headers, name));
        Self {
            retry_after: retry_after.max(),
            quota,
            is_spent: quota.is_some_and(|quota| quota.remaining == 0)
                || left.any(|left| count(left) == Some(0)),
        }
    }

    /// How long the server wants not to be asked: its `Retry-After`, or the reset of a quota that is used up.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let spent = self.quota.filter(|quota| quota.remaining == 0);
        self.retry_after.max(spent.map(|quota| quota.reset))
    }

    /// Whether an answer of this status is about the pace: nobody is to ask before the time that it says.
    #[must_use]
    pub fn is_limit(&self, status: u16) -> bool {
        match status {
            420 | 429 | 430 | 503 | 529 => true,
            403 => self.retry_after.is_some() || self.is_spent,
            _ => false,
        }
    }

    /// Whether the same request may be answered otherwise later, without anybody's help.
    #[must_use]
    pub fn may_pass(&self, status: u16) -> bool {
        match status {
            408 | 425 | 500 | 502 | 504 | 520..=524 => true,
            // A token that is refused is renewed instead.
            401 => false,
            400..500 => self.is_limit(status) || self.retry_after.is_some(),
            _ => self.is_limit(status),
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

/// What the headers called `name` ask for, the longest of them.
fn asked(headers: &HeaderMap, name: &str, then: SystemTime) -> Option<Duration> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let wait = |value: &str| match name.ends_with("-ms") {
        true => decimal(value.trim()).map(|ms| Duration::from_millis(ms.div_ceil(1000))),
        false => retry_after(value, then),
    };
    values.filter_map(wait).max()
}

/// A number of seconds, or of the unit that follows it; a moment, which is now when it has passed; or a list
/// of these, as a proxy makes it of several headers, of which the longest counts.
fn retry_after(text: &str, then: SystemTime) -> Option<Duration> {
    if let Some(wait) = one(text.trim(), then) {
        return Some(wait);
    }
    let waits = text.split(',').map(|part| one(part.trim(), then));
    waits.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn one(text: &str, then: SystemTime) -> Option<Duration> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let since = |moment: SystemTime| moment.duration_since(then).unwrap_or_default();
    let unit_ms = match unit.trim() {
        "" => return moment(text, then).or_else(|| iso_date(text).map(since)),
        "s" | "sec" | "secs" | "second" | "seconds" => 1000,
        "ms" | "msec" | "millisecond" | "milliseconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        _ => return date(text).or_else(|| iso_date(text)).map(since),
    };
    let ms = decimal(digits)?.saturating_mul(unit_ms).div_ceil(1000);
    Some(Duration::from_millis(ms))
}

/// RFC 3339, as JSON APIs write moments.
fn iso_date(text: &str) -> Option<SystemTime> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    Some(SystemTime::from(moment))
}

/// `2.503` as 2503, rounded up.
fn decimal(digits: &str) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = match whole {
        "" => 0,
        whole => count(whole)?,
    };
    let kept: String = fraction.chars().chain("000".chars()).take(3).collect();
    let rest = fraction.get(3..).unwrap_or_default();
    let fraction_is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let kept = count(&kept).filter(|_| fraction_is_number)?;
    let up = u64::from(rest.bytes().any(|byte| byte != b'0'));
    Some(whole.saturating_mul(1000).saturating_add(kept + up))
}

/// Digits only. More of them than a number has room for are a large number, too.
fn count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The time until a reset, however it is written.
fn moment(text: &str, then: SystemTime) -> Option<Duration> {
    let Some(ms) = decimal(text) else {
        let moment = date(text).or_else(|| iso_date(text))?;
        return Some(moment.duration_since(then).unwrap_or_default());
    };
    let since_epoch = Duration::from_millis(if ms >= EPOCH_MILLIS {
        ms / 1000
    } else if ms >= EPOCH_SECONDS {
        ms
    } else {
        return Some(Duration::from_millis(ms));
    });
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

    fn read(lines: &[(&str, &str)]) -> RateLimitHints {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RateLimitHints::read(&headers, date(NOW).unwrap())
    }

    /// The SDK reads the same table: what a plugin makes of an answer is what the host made of it.
    #[test]
    fn retry_after_in_every_form_that_is_met() {
        let vectors = include_str!("../../../plugin-sdk/tests/vectors/retry_after.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let now = iso_date(vectors["now"].as_str().unwrap()).unwrap();
        let rows = vectors["waits"].as_array().unwrap();
        assert!(rows.len() > 40);
        for row in rows {
            let text = row[0].as_str().unwrap();
            let want = row[1].as_u64().map(Duration::from_millis);
            assert_eq!(retry_after(text, now), want, "{text:?}");
        }
        let asctime = read(&[("retry-after", "Sun Nov  6 08:49:57 1994")]);
        assert_eq!(asctime.retry_after, Some(Duration::from_secs(20)));
        let large = read(&[("retry-after", "99999999999999999999999")]);
        assert!(large.retry_after > Some(Duration::from_secs(1 << 40)));
        let ms = |lines: &[(&str, &str)]| read(lines).retry_after.map(|wait| wait.as_millis());
        assert_eq!(
            ms(&[("Retry-After", "3"), ("retry-after", "5")]),
            Some(5000)
        );
        assert_eq!(
            ms(&[("Retry-After-Ms", "350"), ("Retry-After", "1")]),
            Some(1000)
        );
        assert_eq!(ms(&[("x-ms-retry-after-ms", "20.5")]), Some(21));
        assert_eq!(ms(&[("X-Retry-After", "2")]), Some(2000));
        assert_eq!(ms(&[("Retry-After-Ms", "soon")]), None);
    }

    #[test]
    fn what_is_a_limit_and_what_may_pass() {
        let (nothing, later) = (&[][..], &[("Retry-After", "1")][..]);
        let spent = &[("X-RateLimit-Remaining", "0")][..];
        let left = &[("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "9")][..];
        // (status, headers, whether it is a limit, whether it may pass)
        for (status, lines, is_limit, may_pass) in [
            (403, nothing, false, false),
            (403, left, false, false),
            (403, later, true, true),
            (403, spent, true, true),
            (403, &[("RateLimit", "\"a\";r=0;t=9")][..], true, true),
            (401, later, false, false),
            (400, later, false, true),
            (423, later, false, true),
            (423, nothing, false, false),
            (404, spent, false, false),
            (420, nothing, true, true),
            (429, nothing, true, true),
            (430, nothing, true, true),
            (503, nothing, true, true),
            (529, nothing, true, true),
            (522, nothing, false, true),
            (501, later, false, false),
            (200, later, false, false),
        ] {
            let hints = read(lines);
            let got = (hints.is_limit(status), hints.may_pass(status));
            assert_eq!(got, (is_limit, may_pass), "{status} {lines:?}");
        }
    }

    #[test]
    fn moments_are_by_the_servers_clock() {
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
            (x("1994-11-06T08:50:07Z"), Some((0, 30_000))),
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
