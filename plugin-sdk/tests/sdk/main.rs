//! The SDK as an author uses it, against the fake host.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

mod dispatch;
mod fake;
mod full_pull;
mod http;
mod manifest;
mod mistakes;
mod numbers;
mod paginate;
mod records;
mod state;

use std::future::Future;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{FakeHost, Outcome};

/// A host at `https://h/v1`.
fn host() -> FakeHost {
    FakeHost::new().base_url("https://h/v1")
}

/// A plugin with one sync, `s`, of the models M and N.
fn plugin<F, Fut>(sync: F) -> Plugin
where
    F: Fn(Cx) -> Fut + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    Plugin::new("p", "0.1.0")
        .host("base-url")
        .sync(Sync::new("s", sync).models(["M", "N"]))
}

/// Run a handler as the sync `s`.
#[track_caller]
fn run<F, Fut>(host: &FakeHost, sync: F) -> Outcome<()>
where
    F: Fn(Cx) -> Fut + 'static,
    Fut: Future<Output = Result<()>> + 'static,
{
    host.run_sync(plugin(sync), "s")
}
