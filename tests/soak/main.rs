//! A fleet of connections that is synced every ten seconds from a source that misbehaves, by a server that
//! is killed again and again: afterwards every moment has one outcome, and nothing is lost.
//!
//! | variable | default | |
//! |---|---|---|
//! | `TIDEGATE_SOAK_SECONDS` | 30 | how long schedules fire |
//! | `TIDEGATE_SOAK_CONNECTIONS` | 2000 | each with a schedule of ten seconds |
//!
//! `TIDEGATE_SOAK_SECONDS=3600 cargo test --test soak -- --nocapture` prints its figures.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test ends by panicking, helpers included"
)]
#![allow(unreachable_pub, reason = "`pub` says what the modules share")]

mod client;
mod fleet;
mod lives;
mod receiver;
mod source;
#[allow(dead_code, reason = "shared with tests/e2e, which needs more of it")]
#[path = "../e2e/support/mod.rs"]
mod support;
mod verdict;

use std::time::{Duration, Instant};

use fleet::Fleet;
use lives::Lives;
use receiver::Receiver;
use source::Source;

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => default,
    }
}

#[test]
fn nothing_is_lost_or_done_twice() {
    let fires_for = Duration::from_secs(from_env("TIDEGATE_SOAK_SECONDS", 30));
    let connections = from_env("TIDEGATE_SOAK_CONNECTIONS", 2000) as usize;
    // The source and the receiver stand in this process, and go on while servers are killed.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let source = runtime.block_on(Source::start(connections));
    let receiver = runtime.block_on(Receiver::start());

    let begin = Instant::now();
    let fleet = Fleet::prepare(&source, &receiver, connections);
    let mut lives = Lives::begin(&fleet);
    let end = fleet.schedule_all(&lives, fires_for);
    println!("set up in {:.1} s", begin.elapsed().as_secs_f64());

    lives.live_and_die_until(&fleet, &source, &receiver, end);
    source.behave();
    receiver.behave();
    let quiet = Instant::now();
    fleet.drain(&lives);
    let runs = verdict::runs(&fleet, &lives);
    receiver.await_all(&runs);
    println!("drained in {:.1} s", quiet.elapsed().as_secs_f64());

    let judging = Instant::now();
    verdict::one_run_at_a_time(&runs);
    verdict::one_outcome_for_each_moment(&fleet, &lives, end);
    verdict::every_commit_is_there(&fleet, &lives, &source, &receiver);
    receiver.expect_one_event_for_each(&runs);
    source.expect_no_overlap();
    lives.expect_flat_memory(runs.len());
    println!("judged in {:.1} s", judging.elapsed().as_secs_f64());
    lives.report();
    source.report();
    receiver.report();
}
