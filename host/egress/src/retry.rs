//! Repeating a request: which answers, how long to wait, and what the server says about it.

use std::time::Duration;

use http::Method;
use tidegate_engine::backoff::Exponential;

use crate::error::EgressError;
use crate::hints::RateLimitHints;
use crate::message::{Response, Retry};
use crate::timers::{Timers, UPSTREAM_WAIT_MAX};

/// Most attempts of one request, the first included.
pub(crate) const ATTEMPTS_MAX: u32 = 4;
/// The bound of the wait after each failure; the wait itself is at least half of it.
const BACKOFF: Exponential = Exponential {
    first_ms: 500,
    max_ms: 10_000,
};

/// Methods beyond those of RFC 9110 that IANA's registry of HTTP methods calls idempotent
/// (<https://www.iana.org/assignments/http-methods>), but PRI, which is no request. The SDK has the same list.
const IDEMPOTENT: [&str; 29] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// May a request with this method be repeated?
pub(crate) fn repeatable(retry: Retry, method: &Method, has_key: bool) -> bool {
    match retry {
        Retry::Never => false,
        Retry::Always => true,
        Retry::Idempotent => has_key || is_idempotent(method.as_str()),
    }
}

/// Whether a request with this method means the same when it comes twice: RFC 9110 §9.2.2 and the registry.
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    let known = Method::from_bytes(method.as_bytes());
    known.is_ok_and(|method| method.is_idempotent() || IDEMPOTENT.contains(&method.as_str()))
}

/// How long to wait before the next attempt; `None` when this outcome is the last.
/// `attempt` counts from 1.
pub(crate) fn wait(
    attempt: u32,
    outcome: &Result<(Response, RateLimitHints), EgressError>,
    timers: &dyn Timers,
) -> Option<Wait> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let backoff = || {
        let half = Duration::from_millis(BACKOFF.wait_ms(attempt)) / 2;
        half + timers.jitter(half)
    };
    match outcome {
        Err(error) => error.is_transient().then(|| Wait {
            time: backoff(),
            is_asked: false,
        }),
        Ok((response, hints)) if hints.may_pass(response.status) => {
            let asked = hints.wait().unwrap_or_default();
            let backoff = backoff();
            (asked <= UPSTREAM_WAIT_MAX).then(|| Wait {
                // `Retry-After: 0` says that there is no need to wait, not that there is a hurry.
                time: asked.max(backoff),
                is_asked: asked > backoff,
            })
        }
        Ok(_) => None,
    }
}

/// The wait before an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) time: Duration,
    /// The server has asked for it; else it is our own back-off.
    pub(crate) is_asked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Instant, SystemTime};

    use bytes::Bytes;
    use futures::future::BoxFuture;
    use url::Url;

    use crate::timers::SystemTimers;

    #[derive(Debug)]
    struct Fixed;

    impl Timers for Fixed {
        fn now(&self) -> SystemTime {
            httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
        }
        fn instant(&self) -> Instant {
            Instant::now()
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
        fn jitter(&self, most: Duration) -> Duration {
            most
        }
    }

    fn answer(
        status: u16,
        retry_after: Option<u64>,
    ) -> Result<(Response, RateLimitHints), EgressError> {
        let response = Response {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            url: Url::parse("https://h/").unwrap(),
            retry_after: None,
            share: None,
        };
        let hints = RateLimitHints {
            retry_after: retry_after.map(Duration::from_secs),
            ..RateLimitHints::default()
        };
        Ok((response, hints))
    }

    #[test]
    fn waits_grow_and_end() {
        let failed: Result<(Response, RateLimitHints), _> = Err(EgressError::connect("reset"));
        let waits: Vec<_> = (1..=4).map(|n| wait(n, &failed, &Fixed)).collect();
        let ms = |ms| {
            Some(Wait {
                time: Duration::from_millis(ms),
                is_asked: false,
            })
        };
        assert_eq!(waits, [ms(500), ms(1000), ms(2000), None]);
        for status in 100..600 {
            let retried = [
                408, 420, 425, 429, 430, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529,
            ]
            .contains(&status);
            assert_eq!(
                wait(1, &answer(status, None), &Fixed).is_some(),
                retried,
                "{status}"
            );
        }
        assert!(wait(1, &Err(EgressError::invalid("")), &Fixed).is_none());
        for _ in 0..100 {
            let max = Duration::from_millis(BACKOFF.max_ms);
            assert!(SystemTimers.jitter(max) <= max);
        }
    }

    #[test]
    fn retry_after_is_honoured_up_to_a_minute() {
        let wanted = |ms, is_asked| {
            let time = Duration::from_millis(ms);
            Some(Wait { time, is_asked })
        };
        for (attempt, hints, want) in [
            // No hurry: our own back-off.
            (1, 0, wanted(500, false)),
            (3, 1, wanted(2000, false)),
            (1, 7, wanted(7000, true)),
            (1, 60, wanted(60_000, true)),
            (1, 61, None),
            (1, u64::MAX, None),
        ] {
            let got = wait(attempt, &answer(429, Some(hints)), &Fixed);
            assert_eq!(got, want, "{hints}");
        }
        // A quota that is used up says so, too; a 403 with one is no refusal of the credentials.
        let quota = |seconds| {
            let reset = Duration::from_secs(seconds);
            let remaining = 0;
            let hints = RateLimitHints {
                quota: Some(crate::hints::Quota { remaining, reset }),
                is_spent: true,
                ..RateLimitHints::default()
            };
            answer(403, None).map(|(response, _)| (response, hints))
        };
        assert_eq!(wait(1, &quota(5), &Fixed), wanted(5000, true));
        assert_eq!(wait(1, &quota(600), &Fixed), None);
        assert_eq!(wait(1, &answer(403, None), &Fixed), None);
        assert_eq!(wait(1, &answer(403, Some(3)), &Fixed), wanted(3000, true));
        assert_eq!(wait(1, &answer(423, Some(3)), &Fixed), wanted(3000, true));
        assert_eq!(wait(4, &answer(429, Some(0)), &Fixed), None);
        assert_eq!(wait(1, &answer(200, Some(0)), &Fixed), None);
    }

    #[test]
    fn only_what_is_safe_to_repeat_is_repeated() {
        let method = |name: &str| name.parse::<Method>().unwrap();
        for (method, safe) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (method("REPORT"), true),
            (method("PROPFIND"), true),
            (method("SEARCH"), true),
            (method("QUERY"), true),
            (method("LOCK"), false),
            (method("SUBSCRIBE"), false),
        ] {
            assert_eq!(
                repeatable(Retry::Idempotent, &method, false),
                safe,
                "{method}"
            );
            assert!(repeatable(Retry::Idempotent, &method, true), "{method}");
            assert!(repeatable(Retry::Always, &method, false), "{method}");
            assert!(!repeatable(Retry::Never, &method, true), "{method}");
        }
    }
}
