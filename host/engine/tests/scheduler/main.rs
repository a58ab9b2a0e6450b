//! The scheduler against a clock that the test sets: a year in seconds, nights on which clocks change, steps
//! of the clock, a host that was down, overlaps, pauses and edits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

mod backfill;
mod clock;
mod host;
mod overlap;
mod queue;
mod retries;
mod time;
mod year;
