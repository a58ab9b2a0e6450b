//! What the host does, whoever asks: a command, the API, a schedule.
//!
//! Floor 3: the only crate that knows the data directory as a whole and which parts make a host. Commands and the API are
//! written against [`control::Control`]; [`control::Local`] does it in this process.
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | [`control`] | the use cases, as one interface; `control::local` does them in this process |
//! | [`dispatch`] | fires what is due, claims jobs and runs them |
//! | [`webhooks`] | delivers what is due: signed, through the gate, side by side |
//! | [`oauth`] | tokens: requested through the gate, kept sealed, renewed once for all runs |
//! | [`secrets`] | credentials: sealing them at rest, and the keys that seal |
//! | [`transfer`] | exports and imports: writing and reading JSON lines |
//! | [`cassettes`] | recording runs: to a file, and to a connection's ring |
//! | [`replay`] | cassettes played with a component, and what comes of it |
//! | [`problem`] | what went wrong, for people and as an exit code |
//! | [`spans`] | whose a line of the log is; what a trace is made of |
//! | [`notice`] | what is said beside a result, to whoever started the process |
//! | [`display`] | times, durations and numbers as text |

pub mod cassettes;
pub mod control;
pub mod dispatch;
pub mod display;
pub mod notice;
pub mod oauth;
pub mod problem;
pub mod replay;
pub mod secrets;
pub mod spans;
pub mod transfer;
pub mod webhooks;
