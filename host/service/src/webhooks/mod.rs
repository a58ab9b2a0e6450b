//! Webhooks out: the worker that delivers what is due, and the secrets that it signs with.
//!
//! What is due, in which order and when again, is decided by the engine and kept by the store
//! (`docs/webhooks.md`); here is only the I/O.

mod send;
mod signing;
mod worker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tidegate_engine::Timestamp;
use tidegate_runtime::Clock;

pub(crate) use send::{Receivers, attempt};
pub(crate) use signing::{new_secret, open_secrets, seal_secret};
pub(crate) use worker::Worker;

/// The longest sleep: a system clock that was set is noticed after it.
const NAP: Duration = Duration::from_secs(60);

/// Sleeps until a time; injected so that tests decide. It may return earlier.
#[derive(Clone)]
pub(crate) struct Alarm(Arc<dyn Fn(Timestamp) -> BoxFuture<'static, ()> + Send + Sync>);

impl Alarm {
    pub(crate) fn new(
        until: impl Fn(Timestamp) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(until))
    }

    /// Goes by `clock`, which goes by the system's.
    pub(crate) fn of(clock: Clock) -> Self {
        Self::new(move |at| {
            let left = Duration::from_millis(at.since(clock.now()));
            tokio::time::sleep(left.min(NAP)).boxed()
        })
    }

    pub(crate) fn until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        (self.0)(at)
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarm")
    }
}
