//! Hostile plugins and servers in one process with healthy runs: each is stopped with an outcome
//! that names who is to blame and which limit, and the healthy run beside it goes on.
//!
//! The cases are rows (`misuse`, `components`, `deploys`, `servers`); `docs/hostile.md` lists what
//! came of them, written anew with `TIDEGATE_BLESS=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]
#![allow(unreachable_pub, reason = "`pub` says what the modules share")]

mod beside;
mod binary;
mod canary;
mod case;
mod ceilings;
mod components;
mod connections;
mod deploys;
mod house;
mod keys;
mod misuse;
mod servers;
#[allow(dead_code, reason = "shared with tests/e2e, which needs more of it")]
#[path = "../e2e/support/mod.rs"]
mod support;
mod table;
mod template;
mod tokens;

use std::sync::Arc;

use futures::StreamExt;
use tidegate_engine::limits;

use case::Case;
use house::House;

/// So many cases run at the same time, each with a healthy run beside it.
const AT_ONCE: usize = 4;

/// Limits that no case here breaks by name: four whose excess is left out and one whose excess waits
/// (cases of their own show that), an input that is refused before a run starts
/// (`tests/e2e/actions/input.rs`), a time that no component within the other bounds takes to
/// compile (`host/runtime/src/inspect.rs`), the checks of values and what is kept of schemas
/// (`host/service/src/control/schema`, `tests/e2e/api/memory.rs`), a wait of many runs for room (`tests/e2e/api/memory.rs`),
/// those of token endpoints (`tests/e2e/oauth`), those of `connections test` (`tests/e2e/pace.rs`), the wait before a
/// removal (`tests/e2e/api/events.rs`), and the longest
/// pause that an API is believed (`tests/e2e/pace.rs`, `host/engine/tests/scheduler/retries.rs`).
const ELSEWHERE: [&str; 17] = [
    "log_lines",
    "log_line_bytes",
    "skipped_logged",
    "action_input_bytes",
    "compile_ms",
    "schema_check_steps",
    "schema_check_depth",
    "schema_cache_bytes",
    "log_held_bytes",
    "runs_held_wait_ms",
    "token_response_bytes",
    "token_timeout_ms",
    "check_timeout_ms",
    "check_idle_timeout_ms",
    "event_removed_ms",
    "events_removed_ms",
    "retry_after_max_ms",
];

/// Limits on clients, receivers and applications rather than plugins, which have tests of their own:
/// `tests/e2e/api`, `host/service/src/webhooks`, `host/engine/tests/scheduler`.
const NOT_OF_PLUGINS: [&str; 6] = [
    "api_",
    "webhook_",
    "otlp_",
    "schedule",
    "active_jobs",
    "job_",
];

fn names() -> impl Iterator<Item = &'static str> {
    let limits = limits::TABLE.iter().map(|limit| limit.name);
    let all = limits.chain(limits::FIXED.iter().map(|bound| bound.name));
    all.filter(|name| !NOT_OF_PLUGINS.iter().any(|other| name.starts_with(other)))
}

/// Whether a case ended with this limit's name, in its place or in the message.
fn is_broken(name: &str, rows: &[house::Row]) -> bool {
    rows.iter()
        .any(|row| row.end.limit == name || row.case.says.contains(&name))
}

fn cases() -> Vec<Case> {
    [
        misuse::cases(),
        components::cases(),
        deploys::cases(),
        servers::cases(),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_stopped_and_the_healthy_go_on() {
    let cases = cases();
    let house = Arc::new(House::open().await);
    let rows = futures::stream::iter(cases.into_iter().enumerate())
        .map(|(number, case)| tokio::spawn(house::row(Arc::clone(&house), number, case)))
        .buffered(AT_ONCE);
    let rows: Vec<_> = rows.map(|row| row.expect("a row ends")).collect().await;
    let alone = house.healthy_alone().await;
    house.close().await;

    let faults: Vec<&str> = rows.iter().flat_map(|row| row.faults()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(rows.len() >= 60, "{} cases", rows.len());
    let unbroken: Vec<&str> = names().filter(|name| !is_broken(name, &rows)).collect();
    assert_eq!(unbroken, ELSEWHERE);
    table::check(&rows, &alone);
}
