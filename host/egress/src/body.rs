//! The answer's body, read within the limits, and the client's errors in our words.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tidegate_engine::limits::Limits;
use tidegate_engine::run::Blame;
use tokio::time::Instant;
use url::Url;

use crate::address::Refused;
use crate::error::EgressError;
use crate::gate;
use crate::held::{Account, Share};
use crate::meter::Meter;
use crate::resolve::LookupError;
use crate::target::shown;

/// What has to come within the idle time-out, unless the body ends.
const PROGRESS_BYTES: usize = 1024;

/// What the client says of a connection that broke within a body, or of chunks that are none. It
/// calls both a decoding error, as it does damaged gzip, and has no other way to tell them apart.
const READING: &str = "error reading a body from connection";
/// What it says of a head that is longer than it takes, or has more headers.
const HEAD_TOO_LARGE: &str = "message head is too large";

/// The whole body, decompressed, with the share of what the run may hold that it takes. It stops as
/// soon as it is beyond a limit, so that a small body that decompresses to a huge one costs no more than
/// the limit.
pub(crate) async fn read(
    mut answer: reqwest::Response,
    url: &Url,
    limits: &Limits,
    meter: &Meter,
    account: &Account,
) -> Result<(Bytes, Share), EgressError> {
    let most = limits.http_response_bytes;
    let too_large = || {
        let what = format!("the response of {} is", shown(url));
        EgressError::too_large("http_response_bytes", Blame::Upstream, &what, most)
    };
    // Unknown for compressed bodies.
    let length = answer.content_length().unwrap_or(0);
    if length > most {
        return Err(too_large());
    }
    let idle = Duration::from_millis(limits.http_idle_timeout_ms);
    let mut progress = Progress::new(idle);
    let mut share = account.expect(length).await?;
    let mut body = Vec::new();
    while let Some(chunk) = progress
        .within(answer.chunk())
        .await
        .ok_or_else(|| self::idle(url, idle))?
        .map_err(|error| failure(&error, url, limits))?
    {
        progress.made(chunk.len());
        meter.received(chunk.len(), limits)?;
        let needed = body.len() + chunk.len();
        if needed as u64 > most {
            return Err(too_large());
        }
        if needed > body.capacity() {
            // What is set aside counts, whether it is filled or not.
            let wanted = needed.max(body.capacity().saturating_mul(2)) as u64;
            let end = if length > 0 { length } else { most };
            let wanted = wanted.min(end).max(needed as u64);
            share.grow_to(wanted).await?;
            body.reserve_exact(usize::try_from(wanted).unwrap_or(needed) - body.len());
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body.into(), share))
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
    let mut damaged = error.is_decode();
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
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) || text == READING {
            damaged = false;
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
    } else if damaged {
        let message = format!("{message} (the response can't be decompressed)");
        EgressError::Other {
            blame: Blame::Upstream,
            message,
        }
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
