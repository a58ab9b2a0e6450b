//! The commands of the binary `tidegate`.
//!
//! Floor 3: the only crate that knows the command line, the data directory as a whole, and which
//! parts make a host. Commands are written against [`control::Control`], so that they do the same
//! in this process and, when a server holds the data directory, through it.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `cli` | the command line: one file for each command |
//! | [`control`] | what the commands do, as one interface; `control::local` does it in this process |
//! | `api` | the HTTP API: a file for each group of routes |
//! | `serve` | the server: listening, TLS, stopping |
//! | `remote` | the same through the server that holds the data directory: both ends |
//! | `spans` | whose a line of the log is; what a trace is made of |
//! | `problem` | what went wrong, for people and as an exit code |
//! | `secrets` | credentials: where they come from, and sealing them at rest |
//! | `oauth` | tokens: bought through the gate, kept sealed, renewed once for all runs |
//! | `signature` | who signed a component |
//! | `author` | plugins: new crates, builds, the SDK that the binary carries |
//! | `cassettes` | recording runs: to a file, and to a connection's ring |
//! | `replay` | cassettes played with a component, and what comes of it |
//! | `demo` | the demo's source API and its story |
//! | `webhooks` | delivering what is due: signed, through the gate, side by side |
//! | `transfer` | exports: writing and reading JSON lines |
//! | `shown` | the JSON shapes of things, for `--json` and the API |
//! | `output` | tables, JSON lines, progress, times and sizes for people |

mod api;
mod author;
mod cassettes;
mod cli;
pub mod control;
mod demo;
mod dispatch;
mod oauth;
mod output;
mod problem;
mod remote;
mod replay;
mod secrets;
mod serve;
mod shown;
mod signature;
mod spans;
mod transfer;
mod webhooks;

pub use cli::main;
