//! End to end: drives the built binary and real plugins from outside, knows no internals.
//!
//! One binary for all of it, as each costs its linking. `support` is what the tests share; every
//! other module is one subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends by panicking, helpers included"
)]
#![allow(unreachable_pub, reason = "`pub` in `support` says what the tests use")]

mod actions;
mod advice;
mod api;
mod author;
mod bad_answers;
mod bad_components;
mod bad_records;
mod blame;
mod bodies;
mod cassettes;
mod commands;
mod conformance;
mod connections;
mod data;
mod data_directory;
mod deletions;
mod demo;
mod egress;
mod feed;
mod forged;
mod hostile;
mod kinto;
mod numbers;
mod oauth;
mod pace;
mod provenance;
mod push;
mod replay;
mod schedules;
mod secrets;
mod stripe;
mod support;
mod upgrade;
mod webhooks;
