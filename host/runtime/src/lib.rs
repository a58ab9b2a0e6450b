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
//! | `bounds` | how large a component may be inside |
//! | `cache` | precompiled components on disk; the one `unsafe` |
//! | `inspect` | the manifest, asked for in a sandbox without capabilities |
//! | [`run`](Runtime::run) | one run, from what it is given to its outcome |
//! | `plugin` | a component, compiled and linked |
//! | `spec`, `observer` | what a run is asked to do and how it ended; who follows it |
//! | `guest` | one instance of a component, called and dropped |
//! | `cores` | guests that compute take turns |
//! | [`replay`](Runtime::replay) | a run again, from its cassette |
//! | `calls` | the seam between imports and the gate and the store |
//! | `tape` | what stands in that seam while a run is recorded or replayed |
//! | `clock`, `random` | a guest's time and chance |
//! | `cause` | refused calls, by the numbers that a failure hands back |
//! | `verdict` | the outcome of a run: its guest, its output, its log |
//! | `outcome` | what a trap, a limit or a failure means, and who is to blame |
//! | `output` | what an action returned, checked |
//! | [`meter`] | figures and CPU time of a run |
//! | `limiter` | memory and tables of the whole store |
//! | `log`, `stdio` | a run's bounded log, and what a guest prints |
//! | `state`, `imports` | what the guest's calls reach |
//!
//! [`Store`]: tidegate_engine::Store

mod bounds;
mod cache;
mod calls;
mod cause;
mod clock;
mod cores;
mod engine;
mod error;
mod guest;
pub mod identify;
mod imports;
mod inspect;
mod limiter;
mod log;
pub mod meter;
mod observer;
mod outcome;
mod output;
mod plugin;
mod random;
mod replay;
mod run;
mod spec;
mod state;
mod stdio;
mod tape;
mod verdict;

pub use bounds::TooLarge;
pub use clock::Clock;
pub use engine::{Runtime, RuntimeOptions};
pub use error::RuntimeError;
pub use identify::{IdentifyError, Identity};
pub use inspect::{InspectError, Inspection};
pub use meter::Meter;
pub use observer::Observer;
pub use output::OutputCheck;
pub use plugin::Plugin;
pub use replay::{Function, Replayed};
pub use spec::{DeferredDrop, RunResult, RunSpec};
pub use tape::Recording;
pub use tidegate_contract::VERSION as CONTRACT_VERSION;
