//! The server: what `tidegate serve` listens with, and what it answers.
//!
//! Floor 4: the only crate that speaks HTTP to those who come to us. What is asked is done by
//! [`tidegate_service::control::Control`].
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | [`v1`] | the HTTP API: a file for each group of routes |
//! | [`serve`] | the server: listening, TLS, stopping |
//! | [`remote`] | commands through the server that holds the data directory: both ends |
//! | [`views`] | the JSON shapes of things, for the API and `--json` |

pub mod remote;
pub mod serve;
pub mod v1;
pub mod views;
