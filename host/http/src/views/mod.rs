//! The JSON shapes of things: what commands print with `--json` and what the API answers.
//!
//! One thing has one shape, whoever asks. Times are RFC 3339 in UTC with milliseconds.

mod api_key;
mod check;
mod connection;
mod figures;
mod integration;
mod job;
mod record;
mod run;
mod schedule;
mod stats;
mod sync;
mod webhook;

pub use api_key::ApiKey;
pub use check::Check;
pub use connection::{Connection, ConnectionWithModels, Model};
pub use integration::{Deployed, Integration, flags};
pub use job::{Job, JobWithOutput};
pub use record::{Record, write_record};
pub use run::{Invoked, Run, in_one_line};
pub use schedule::{Due, Fire, NewSchedule, Schedule, ScheduleRule, moment};
pub use stats::stats;
pub use sync::Sync;
pub use webhook::{Attempt, Delivery, Endpoint, EndpointWithSecret, Replayed};
