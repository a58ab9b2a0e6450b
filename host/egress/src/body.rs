//! The answer's body, read within the limits, and the client's errors in our words.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;
use tokio::time::Instant;
use url::Url;

use crate::decode::{self, BodyDecodeError, Decoder};
use crate::error::EgressError;
use crate::gate;
use crate::held::{Account, Share};
use crate::meter::Meter;
use crate::resolve::LookupError;
use tidegate_rules::address::Refused;
use tidegate_rules::request::shown;

/// What has to come within the idle time-out, unless the body ends.
const PROGRESS_BYTES: usize = 1024;

/// What it says of a head that is longer than it takes, or has more headers.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// The whole body, decoded, with the headers as they are then, and the share of what the run may hold that
/// it takes. It stops as soon as it is beyond a limit, so that a small body that decompresses to a huge
/// one costs no more than the limit.
pub(crate) async fn read(
    mut answer: reqwest::Response,
    url: &Url,
    limits: &Limits,
    meter: &Meter,
    account: &Account,
) -> Result<(HeaderMap, Bytes, Share), EgressError> {
    let most = limits.http_response_bytes;
    let too_large = || {
        let what = format!("the response of {} is", shown(url));
        EgressError::too_large("http_response_bytes", Blame::Upstream, &what, most)
    };
    let length = answer.content_length().unwrap_or(0);
    if length > most {
        return Err(too_large());
    }
    let undecodable = |why: BodyDecodeError| match why {
        BodyDecodeError::TooLarge => too_large(),
        BodyDecodeError::Damaged(error) => EgressError::Other {
            blame: Blame::Upstream,
            message: format!("{}: the gzip body is damaged: {error}", shown(url)),
        },
        BodyDecodeError::Cut => EgressError::Connect {
            message: format!(
                "{}: the gzip body ends too early, or is damaged",
                shown(url)
            ),
        },
    };
    let idle = Duration::from_millis(limits.http_idle_timeout_ms);
    let mut progress = Progress::new(idle);
    let mut share = account.expect(length).await?;
    let mut headers = std::mem::take(answer.headers_mut());
    let mut decoder = Decoder::new(&headers, most, length);
    while let Some(chunk) = progress
        .within(answer.chunk())
        .await
        .ok_or_else(|| self::idle(url, idle))?
        .map_err(|error| failure(&error, url, limits))?
    {
        progress.made(chunk.len());
        for step in chunk.chunks(decode::STEP) {
            // What is set aside counts, whether it is filled or not.
            share.grow_to(decoder.will_hold(step.len())).await?;
            let before = decoder.len();
            decoder.step(step).map_err(undecodable)?;
            meter.received(decoder.len().saturating_sub(before), limits)?;
            // How much comes of gzip is known only then; of one step it is little.
            share.grow_to(decoder.holds()).await?;
        }
    }
    let is_coded = !decoder.keeps_header();
    let (mut body, was_gzip) = decoder.finish().map_err(undecodable)?;
    if is_coded {
        headers.remove(header::CONTENT_ENCODING);
    }
    if was_gzip {
        headers.remove(header::CONTENT_LENGTH);
    }
    if let Some(text) = decode::to_utf8(&headers, &body) {
        if text.len() as u64 > most {
            return Err(too_large());
        }
        share.grow_to(text.len() as u64).await?;
        body = text.into();
        let hints = headers.get(header::CONTENT_TYPE);
        let now = hints.and_then(|value| decode::with_utf8(value.to_str().ok()?).parse().ok());
        if let Some(now) = now {
            headers.insert(header::CONTENT_TYPE, now);
        }
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok((headers, body, share))
}

/// How long a body may make no progress. Progress is [`PROGRESS_BYTES`], not one byte: a server that sends a
/// byte a second is as good as silent.
struct Progress {
    idle: Duration,
    until: Instant,
    bytes: usize,
}

impl Progress {
    fn new(idle: Duration) -> Self {
        let until = Instant::now() + idle;
        let bytes = 0;
        Self { idle, until, bytes }
    }

    /// `None` when nothing came in time.
    async fn within<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.until, next).await.ok()
    }

    fn made(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= PROGRESS_BYTES {
            *self = Self::new(self.idle);
        }
    }
}

/// The server makes no progress.
pub(crate) fn idle(url: &Url, time: Duration) -> EgressError {
    let message = format!(
        "{}: the server has gone silent: next to nothing came within {} ms (limit http_idle_timeout_ms)",
        shown(url),
        time.as_millis()
    );
    EgressError::Timeout { message }
}

/// The client's error as one of ours. `url` is the one without credentials; the error's own is
/// not shown.
pub(crate) fn failure(error: &reqwest::Error, url: &Url, limits: &Limits) -> EgressError {
    let mut reasons: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        // An error that says what its source says, passes it on as its own.
        if let Some(refused) = refused(cause) {
            return gate::denied(url, refused);
        }
        let text = cause.to_string();
        if text == HEAD_TOO_LARGE {
            let what = format!("the response's headers of {} are", shown(url));
            let limit = limits.http_headers;
            return EgressError::too_large("http_headers", Blame::Upstream, &what, limit);
        }
        if !reasons.iter().any(|known| known.contains(&text)) {
            reasons.push(text);
        }
        source = cause.source();
    }
    let reason = if reasons.is_empty() {
        "failed".to_owned()
    } else {
        reasons.join(": ")
    };
    let message = format!("{}: {reason}", shown(url));
    if error.is_timeout() {
        EgressError::Timeout { message }
    } else if error.is_builder() {
        EgressError::Invalid { message }
    } else {
        EgressError::Connect { message }
    }
}

/// The gate's word, if that is why the connection wasn't made.
fn refused<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    if let Some(LookupError::Refused(refused)) = cause.downcast_ref() {
        return Some(refused);
    }
    cause.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kibibyte_is_progress_and_a_byte_is_none() {
        let mut progress = Progress::new(Duration::from_secs(20));
        let begun = progress.until;
        let another_moment = || async {
            let now = Instant::now();
            while Instant::now() == now {
                tokio::task::yield_now().await;
            }
        };
        another_moment().await;
        for _ in 0..PROGRESS_BYTES - 1 {
            progress.made(1);
        }
        assert_eq!(progress.until, begun, "next to nothing");
        progress.made(1);
        assert!(progress.until > begun, "a kibibyte in all");
        let begun = progress.until;
        another_moment().await;
        progress.made(1);
        assert_eq!(progress.until, begun, "it counts from the last progress");
        progress.made(100_000);
        assert!(progress.until > begun, "all at once");
    }
}
