//! What is sled's own: the data directory, damage, faults of the disk, and writing the database anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test ends by panicking, helpers included; `pub` says what the files share"
)]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod directory;
mod faults;
mod identity;
mod rewrite;
