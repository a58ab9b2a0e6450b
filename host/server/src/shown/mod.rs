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

pub(crate) use api_key::ApiKey;
pub(crate) use check::Check;
pub(crate) use connection::{Connection, ConnectionWithModels, Model};
pub(crate) use integration::{Deployed, Integration};
pub(crate) use job::{Job, JobWithOutput};
pub(crate) use record::{Record, write_record};
pub(crate) use run::{Invoked, Run, in_one_line};
pub(crate) use schedule::{Due, Fire, NewSchedule, Schedule, When, moment};
pub(crate) use stats::stats;
pub(crate) use sync::Sync;
pub(crate) use webhook::{Attempt, Delivery, Endpoint, EndpointWithSecret, Replayed};
