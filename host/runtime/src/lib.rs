//! Runs components: instances, imports, limits.
//!
//! Floor 2, and the only crate that knows wasmtime. It decides nothing about schedules, stores or
//! files of the data directory: it is given a component, a connection and a [`Store`], and says how
//! the run ended.
//!
//! Three moments, after Spin: *link once* ([`Runtime::new`]), *prepare per component*
//! ([`Runtime::load`], [`Runtime::inspect`]), *instantiate per run* ([`Runtime::run`]: a fresh
//! wasmtime store, dropped at the end).
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `engine` | wasmtime's configuration, the linker, the epoch ticker |
//! | [`identify`] | what a file is, and whether it is a plugin of ours |
//! | `cache` | precompiled components on disk; the one `unsafe` |
//! | `inspect` | the manifest, asked for in a sandbox without capabilities |
//! | [`run`](Runtime::run) | one run from instantiation to its outcome |
//! | `outcome` | what a trap, a limit or a failure means, and who is to blame |
//! | [`meter`] | figures and CPU time of a run |
//! | `limiter` | memory and tables of the whole store |
//! | `log` | a run's bounded log, stdout and stderr included |
//! | `state`, `imports` | what the guest's calls reach |
//!
//! [`Store`]: tidegate_engine::Store

mod cache;
mod engine;
pub mod identify;
mod imports;
mod inspect;
mod limiter;
mod log;
pub mod meter;
mod outcome;
mod run;
mod state;

pub use engine::{Clock, Runtime, RuntimeError, RuntimeOptions};
pub use identify::{IdentifyError, Identity};
pub use inspect::{InspectError, Inspection};
pub use meter::Meter;
pub use run::{Observer, Plugin, RunResult, RunSpec};
pub use tidegate_contract::VERSION as CONTRACT_VERSION;
