//! What an answer says about the pace: whether it is a rate limit, and when to ask again.
//!
//! Not every API says it with 429: GitHub's limits are 403 with `X-RateLimit-Remaining: 0` or
//! `Retry-After`, Google's a 403 with the reason in the body, others send 420, 423 or Shopify's 430.

use super::retry_after;

/// Headers that say when to ask again.
const RETRY_AFTER: [&str; 4] = [
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-retry-after",
];
/// Headers that say what is left of a quota, and when it is full again.
const QUOTAS: [(&str, &str); 3] = [
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
];
/// Words of a 403's body by which it is a rate limit.
const WORDS: [&str; 7] = [
    "rate limit",
    "rate-limit",
    "rate_limit",
    "ratelimit",
    "too many requests",
    "throttl",
    "usagelimits",
];
/// How much of a body is looked at for them.
const LOOKED_AT: usize = 4 * 1024;

/// What an answer's headers say about the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pace {
    /// Not before so many milliseconds from now.
    pub(super) retry_after_ms: Option<u64>,
    /// A quota is used up.
    pub(super) is_spent: bool,
}

impl Pace {
    /// Read them at `now` (Unix milliseconds).
    pub(super) fn of<'a>(
        headers: &(impl Iterator<Item = (&'a str, &'a str)> + Clone),
        now: u64,
    ) -> Self {
        let all = |name: &'static str| {
            let own = headers.clone();
            let own = own.filter(move |(known, _)| known.eq_ignore_ascii_case(name));
            own.map(|(_, value)| value)
        };
        let waits = RETRY_AFTER.into_iter().flat_map(|name| {
            let is_ms = name.ends_with("-ms");
            all(name).filter_map(move |value| match is_ms {
                true => Some(retry_after::thousandths(value.trim())?.div_ceil(1_000)),
                false => retry_after::wait_ms(value, now),
            })
        });
        let retry_after_ms = waits.max();
        let spent = QUOTAS.into_iter().find(|(remaining, _)| {
            let mut left = all(remaining);
            left.any(|left| retry_after::thousandths(left.trim()) == Some(0))
        });
        let reset = spent.and_then(|(_, reset)| all(reset).next());
        let reset = reset.and_then(|reset| retry_after::wait_ms(reset, now));
        Pace {
            retry_after_ms: retry_after_ms.max(reset),
            is_spent: spent.is_some(),
        }
    }

    /// Whether an answer of this status may be another one later, without anybody's help.
    pub(super) fn may_pass(self, status: u16, body: &str) -> bool {
        match status {
            408 | 420 | 425 | 429 | 430 | 500.. => true,
            // Credentials that are not accepted are not so after a while either.
            401 => false,
            403 => self.retry_after_ms.is_some() || self.is_spent || speaks_of_limits(body),
            400..500 => self.retry_after_ms.is_some(),
            _ => false,
        }
    }
}

/// Whether it speaks of a rate limit, other than in a link.
fn speaks_of_limits(body: &str) -> bool {
    let mut end = body.len().min(LOOKED_AT);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let body = body.get(..end).unwrap_or_default().to_ascii_lowercase();
    let words = body.split([' ', '"', '\'', '<', '>', '\n', '\t']);
    let words: Vec<&str> = words.filter(|word| !word.contains("://")).collect();
    let text = words.join(" ");
    WORDS.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn what_headers_say() {
        let now = 1_796_040_000_000;
        let row = |headers: &[(&'static str, &'static str)]| {
            let pace = Pace::of(&headers.iter().copied(), now);
            (pace.retry_after_ms, pace.is_spent)
        };
        for (headers, expected) in [
            (&[][..], (None, false)),
            (&[("Retry-After", "3")][..], (Some(3_000), false)),
            (
                &[("Retry-After", "3"), ("retry-after", "5")][..],
                (Some(5_000), false),
            ),
            (
                &[("retry-after-ms", "350"), ("Retry-After", "1")][..],
                (Some(1_000), false),
            ),
            (&[("X-MS-Retry-After-MS", "20.5")][..], (Some(21), false)),
            (&[("Retry-After", "soon")][..], (None, false)),
            (&[("X-RateLimit-Remaining", "0")][..], (None, true)),
            (
                &[
                    ("X-RateLimit-Remaining", "0"),
                    ("X-RateLimit-Reset", "1796040600"),
                ][..],
                (Some(600_000), true),
            ),
            (
                &[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "9")][..],
                (Some(9_000), true),
            ),
            (
                &[("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "9")][..],
                (None, false),
            ),
        ] {
            assert_eq!(row(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_may_pass() {
        let said = |retry_after_ms, is_spent| Pace {
            retry_after_ms,
            is_spent,
        };
        let (nothing, later, spent) = (said(None, false), said(Some(1), false), said(None, true));
        let google =
            r#"{"error":{"errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}]}}"#;
        let link = r#"{"message":"Forbidden","documentation_url":"https://d.example/rate-limits"}"#;
        for (status, pace, body, expected) in [
            (403, nothing, "{}", false),
            (403, nothing, link, false),
            (403, nothing, google, true),
            (
                403,
                nothing,
                "You have exceeded a secondary rate limit.",
                true,
            ),
            (403, later, "", true),
            (403, spent, "", true),
            (401, later, "", false),
            (400, nothing, "rate limit", false),
            (400, later, "", true),
            (409, later, "", true),
            (423, later, "", true),
            (423, nothing, "", false),
            (420, nothing, "", true),
            (430, nothing, "", true),
            (429, nothing, "", true),
            (522, nothing, "", true),
            (404, spent, "", false),
        ] {
            assert_eq!(
                pace.may_pass(status, body),
                expected,
                "{status} {pace:?} {body}"
            );
        }
    }
}
