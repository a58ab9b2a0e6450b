//! What Tidegate is about, without I/O.
//!
//! Floor 1: nothing here reads a clock, a file, a socket or the environment, and nothing here knows
//! wasmtime, sled, reqwest or tokio. Times come in as [`Timestamp`]s, ids are chosen by the caller,
//! and what must be stored goes out through the [`Store`] trait.
//!
//! The rules that a plugin's native tests keep too are in `tidegate_rules` (floor 0), whose modules are
//! modules of this crate as well.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | [`token`] | how long an access token is used |
//! | [`integration`] | deployments and connections |
//! | [`connection`] | bounds, filters and updates of connections |
//! | [`cursor`] | a consumer's place in a change feed, as opaque text |
//! | [`health`] | which syncs and actions of a connection fail, and which of them are held |
//! | `error` | why a command of a store did not happen |
//! | `feed` | reading a change feed: what is asked, and a page of it |
//! | [`idempotency`] | keys under which an action acts once |
//! | [`backoff`] | how long to wait before something is tried again |
//! | [`api_key`] | whom the HTTP API answers, for what and until when |
//! | [`cassette`] | a recorded run: its lines, its answers to a replay, and how two runs differ |
//! | [`schedule`] | schedules: when something is due, and what becomes of moments that have passed |
//! | [`job`] | what waits to be run, its attempts, and what becomes of it |
//! | [`board`] | schedules and jobs as one state machine: what fires, what starts next |
//! | [`redact`] | secrets, taken out of what an API repeats before it is stored or shown |
//! | [`run`] | runs, how they end, who is to blame, their figures and logs |
//! | [`webhook`] | what happened, which endpoints want to hear of it, and how they are told |
//! | [`notifier`] | waiting for something to happen in a store |
//! | [`store`] | the traits of atomic commands that every backend implements, and the rules that backends share |
//! | [`upkeep`] | what retention, dropping, checking and sizes take and say |
//! | [`transfer`] | what an import brings |

pub mod api_key;
pub mod backoff;
pub mod board;
pub mod cassette;
pub mod connection;
pub mod cursor;
mod error;
mod feed;
pub mod health;
mod id;
pub mod idempotency;
mod idempotency_key;
pub mod integration;
pub mod job;
pub mod notifier;
pub mod redact;
pub mod request;
pub mod run;
pub mod schedule;
pub mod store;
pub mod token;
pub mod transfer;
pub mod upkeep;
pub mod webhook;

pub use tidegate_rules::{
    canonical, command, command_line, grant, limits, manifest, metadata, name, record, time,
};

pub use name::{ConnectionKey, ConnectionName, ModelKey, Name, SyncKey};
pub use store::{Store, StoreError};
pub use time::Timestamp;

/// What a row need not say.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
