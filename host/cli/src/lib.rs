//! The commands of the binary `tidegate`.
//!
//! Floor 5: the only crate that knows the command line and prints. A command asks
//! [`tidegate_service::control::Control`], in this process or through the server that holds the data directory.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `commands` | the command line: one file for each command |
//! | `output` | tables, JSON lines, progress and sizes for people |
//! | `secrets` | where the secrets that a command is given come from |
//! | `author` | plugins: new crates, builds, the SDK that the binary carries |
//! | `signature` | who signed a component |
//! | `demo` | the demo's source API and its story |

mod author;
mod commands;
mod demo;
mod output;
mod secrets;
mod signature;

pub use commands::{CommandLineError, check, main};
