//! The JSON shapes of things: what commands print with `--json` and what the API answers.
//!
//! One thing has one shape, whoever asks. The shapes are the API's own: each type here is made from one of the engine, so
//! that the engine can change without them. Of the engine only ids and names stand in them, which have one text each.

mod api_key;
mod check;
mod connection;
mod failure;
mod figures;
mod grants;
mod integration;
mod job;
mod log;
mod manifest;
mod master_key;
mod record;
mod run;
mod schedule;
mod sync;
pub(crate) mod text;
mod upkeep;
mod webhook;
pub(crate) mod word;

pub use api_key::ApiKey;
pub(crate) use api_key::KeyScope;
pub use check::Check;
pub use connection::{Connection, ConnectionWithModels, Model};
pub(crate) use failure::Failure;
pub(crate) use grants::{Grants, RateLimit};
pub use integration::{Deployed, Integration, flags};
pub use job::{Job, JobWithOutput};
pub(crate) use job::{JobPriority, JobState};
pub use log::LogLine;
pub(crate) use manifest::Manifest;
pub use master_key::{KeysStatus, Rotated};
pub use record::{Record, write_record};
pub(crate) use run::RunState;
pub use run::{Invoked, Run, in_one_line};
pub use schedule::{DstGap, Due, Fire, NewSchedule, Schedule, ScheduleRule, moment};
pub use sync::Sync;
pub use upkeep::{CheckReport, StoreStats};
pub use webhook::{Attempt, Delivery, Endpoint, EndpointWithSecret, Replayed};
pub(crate) use webhook::{DeliveryState, EventType};
