//! Bounds of requests that the operator may set, by the names of their limits.

use std::time::Duration;

use tidegate_engine::limits;
use tidegate_service::problem::{Problem, Result};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub(crate) header: Duration,
    pub(crate) request: Duration,
    pub(crate) stall: Duration,
    pub(crate) connections: u64,
    pub(crate) keyless_connections: u64,
    pub(crate) keyless_per_address: u64,
    pub(crate) keyless_requests: u64,
    pub(crate) keyless_burst: u64,
    pub(crate) requests_per_key: u64,
    pub(crate) streams: u64,
    pub(crate) streams_per_key: u64,
    pub(crate) answers_per_key: u64,
    pub(crate) held_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            header: Duration::from_millis(limits::API_HEADER_MS),
            request: Duration::from_millis(limits::API_REQUEST_MS),
            stall: Duration::from_millis(limits::API_STALL_MS),
            connections: limits::API_CONNECTIONS,
            keyless_connections: limits::API_KEYLESS_CONNECTIONS,
            keyless_per_address: limits::API_KEYLESS_PER_ADDRESS,
            keyless_requests: limits::API_KEYLESS_REQUESTS,
            keyless_burst: limits::API_KEYLESS_BURST,
            requests_per_key: limits::API_REQUESTS_PER_KEY,
            streams: limits::API_STREAMS,
            streams_per_key: limits::API_STREAMS_PER_KEY,
            answers_per_key: limits::API_ANSWERS_PER_KEY,
            held_bytes: limits::API_HELD_BYTES,
        }
    }
}

type Set = fn(&mut Bounds, u64);

/// Those that can be set.
const SETTABLE: &[(&str, Set)] = &[
    ("api_header_ms", |bounds, ms| {
        bounds.header = Duration::from_millis(ms);
    }),
    ("api_request_ms", |bounds, ms| {
        bounds.request = Duration::from_millis(ms);
    }),
    ("api_stall_ms", |bounds, ms| {
        bounds.stall = Duration::from_millis(ms);
    }),
    ("api_connections", |bounds, count| {
        bounds.connections = count;
    }),
    ("api_keyless_connections", |bounds, count| {
        bounds.keyless_connections = count;
    }),
    ("api_keyless_per_address", |bounds, count| {
        bounds.keyless_per_address = count;
    }),
    ("api_keyless_requests", |bounds, count| {
        bounds.keyless_requests = count;
    }),
    ("api_keyless_burst", |bounds, count| {
        bounds.keyless_burst = count;
    }),
    ("api_requests_per_key", |bounds, count| {
        bounds.requests_per_key = count;
    }),
    ("api_streams", |bounds, count| {
        bounds.streams = count;
    }),
    ("api_streams_per_key", |bounds, count| {
        bounds.streams_per_key = count;
    }),
    ("api_answers_per_key", |bounds, count| {
        bounds.answers_per_key = count;
    }),
    ("api_held_bytes", |bounds, bytes| {
        bounds.held_bytes = bytes;
    }),
];

/// The largest value of any of them: a day of milliseconds fits, a TiB of bytes too.
const MOST: u64 = 1 << 40;

impl Bounds {
    /// Set one by the name of its limit.
    pub fn set(&mut self, name: &str, value: u64) -> Result<()> {
        let Some((_, set)) = SETTABLE.iter().find(|(known, _)| *known == name) else {
            let message = format!("a server sets no limit {name:?}");
            let names: Vec<&str> = SETTABLE.iter().map(|(name, _)| *name).collect();
            return Err(Problem::invalid(message).hint(format!("it sets {}", names.join(", "))));
        };
        if !(1..=MOST).contains(&value) {
            return Err(Problem::invalid(format!(
                "the limit {name} must be at least 1, and at most {MOST}"
            )));
        }
        set(self, value);
        Ok(())
    }
}

/// A number of permits of a semaphore.
pub(super) fn permits(count: u64) -> usize {
    let most = tokio::sync::Semaphore::MAX_PERMITS;
    usize::try_from(count).unwrap_or(most).min(most)
}
