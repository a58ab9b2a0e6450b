//! The rules of the contract, written once: what the host refuses, and what the SDK's fake host refuses alike.
//!
//! Floor 0, beside `wit/`: no I/O, no clock, and nothing of the host above. Whatever decides whether a plugin's
//! manifest, request, page or checkpoint passes lies here, so that `cargo test` of a plugin and the real host
//! say the same. `tests/plugins/conformance` has the cases that both are tried with.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | [`limits`] | every bound with unit, default and reason |
//! | [`surrogates`] | halves of surrogate pairs in JSON, mended |
//! | [`name`] | names and keys: what things are called and how they nest |
//! | [`time`] | a moment in Unix milliseconds |
//! | [`blame`] | who must act when something fails |
//! | [`manifest`] | what a plugin says of itself, parsed and checked |
//! | [`schedule`] | when something is due: cron expressions, intervals, time zones |
//! | [`grant`] | which origins, ranges and feeds the operator allows |
//! | [`command_line`] | commands that messages advise, quoted for a shell |
//! | [`address`] | which IP addresses may be connected to |
//! | [`request`] | what a request must keep to before anything is sent |
//! | [`record`] | records and pages: ids, sizes, bodies, checkpoints |
//! | [`canonical`] | the hash by which a changed body is told from an unchanged one |
//! | [`snapshot`] | full pulls: what may be deleted, and what proves that it is gone |
//! | [`metadata`] | a connection's metadata, merged and bounded |
//!
//! For `wasm32` there are only [`limits`] and [`surrogates`]: a component needs no more.

pub mod limits;
pub mod surrogates;

#[cfg(not(target_arch = "wasm32"))]
pub mod address;
#[cfg(not(target_arch = "wasm32"))]
pub mod blame;
#[cfg(not(target_arch = "wasm32"))]
pub mod canonical;
#[cfg(not(target_arch = "wasm32"))]
pub mod command_line;
#[cfg(not(target_arch = "wasm32"))]
pub mod grant;
#[cfg(not(target_arch = "wasm32"))]
pub mod manifest;
#[cfg(not(target_arch = "wasm32"))]
pub mod metadata;
#[cfg(not(target_arch = "wasm32"))]
pub mod name;
#[cfg(not(target_arch = "wasm32"))]
pub mod record;
#[cfg(not(target_arch = "wasm32"))]
pub mod request;
#[cfg(not(target_arch = "wasm32"))]
pub mod schedule;
#[cfg(not(target_arch = "wasm32"))]
pub mod snapshot;
#[cfg(not(target_arch = "wasm32"))]
pub mod time;

#[cfg(not(target_arch = "wasm32"))]
pub use blame::Blame;
#[cfg(not(target_arch = "wasm32"))]
pub use name::{ConnectionKey, ConnectionName, ModelKey, Name, SyncKey};
#[cfg(not(target_arch = "wasm32"))]
pub use time::Timestamp;

/// What a row need not say.
#[cfg(not(target_arch = "wasm32"))]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
