//! `cargo bench --bench serve`: what a running server costs. One JSON line for each figure:
//!
//! | figure | |
//! |---|---|
//! | `noop-fire` | CPU of a schedule that fires and a job that does nothing: fire, claim and end, each stored; no plugin. Once with all of them due within a minute, once all at the same moment |
//! | `lateness` | 10,000 schedules due in the same minute, each running an action that does nothing, spread over most of the minute and all at once: how late they fire beyond their spread, and the server's CPU for each with its run |
//! | `action` | an action that sends one request, called again and again: the median of what it adds to that request |
//! | `cancel` | from cancelling a run whose guest is in an endless loop until its answer is there, alone and beside eight others |
//! | `ndjson` | a model's records as NDJSON: records a second of the server's CPU, and of the clock |
//! | `idle` | 1,000 connections with hourly schedules that are not due: memory, share of a core |
//!
//! `TIDEGATE_BENCH_ONLY=action,idle` leaves out the others; `TIDEGATE_BENCH_SCHEDULES` (10,000),
//! `TIDEGATE_BENCH_CALLS` (2,000), `TIDEGATE_BENCH_RECORDS` (100,000) and `TIDEGATE_BENCH_IDLE_SECONDS` (60)
//! make them smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a benchmark that can't go on ends by panicking"
)]

mod actions;
mod cancel;
#[path = "../common/mod.rs"]
mod common;
mod idle;
mod lateness;
mod noop;
mod records;
mod server;
#[allow(dead_code, reason = "shared with `benches/sync`, which changes it")]
#[path = "../sync/source.rs"]
mod source;

/// As the binary has it: `noop-fire` measures the server's parts in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Figure = (&'static str, fn());

const FIGURES: [Figure; 6] = [
    ("noop-fire", noop::measure),
    ("lateness", lateness::measure),
    ("action", actions::measure),
    ("cancel", cancel::measure),
    ("ndjson", records::measure),
    ("idle", idle::measure),
];

fn main() {
    let only = std::env::var("TIDEGATE_BENCH_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    for (name, measure) in FIGURES {
        if only.is_empty() || only.contains(&name) {
            measure();
        }
    }
}

/// A number from the environment.
fn from_env(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

/// The value below which `percent` of them lie.
fn percentile(of: &mut [f64], percent: usize) -> f64 {
    of.sort_by(f64::total_cmp);
    of[(of.len() - 1) * percent / 100]
}

/// Three digits after the point are enough.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
