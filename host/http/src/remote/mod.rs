//! Commands through the server that holds the data directory.
//!
//! `server.json` names the server's own socket and a token that opens it. There each method of
//! [`Control`](tidegate_service::control::Control) is a call, `POST /control/METHOD`, with its arguments as a JSON array, answered by
//! lines of [`frame::Frame`]. Both ends are the same binary (the version is compared), so what travels are the
//! host's own types: a command can't do anything else than without a server.
//!
//! | module | its one job |
//! |---|---|
//! | `find` | finding the server, and being sure that it is this one |
//! | `client` | sending calls, reading frames |
//! | `ask` | `Control` by calls, of the table in `tidegate_service::control::calls` |
//! | `answer` | calls of the same table answered by `Control`, in the server |
//! | `runs` | answers that go on: runs, exports, imports |
//! | `frame` | a line of an answer |

mod answer;
mod ask;
mod client;
mod find;
mod frame;
mod runs;

pub(crate) use answer::routes;
pub use client::Remote;
pub(crate) use find::{FILE, ServerInfo};
