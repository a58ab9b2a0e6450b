//! The traits of atomic commands that every backend implements, in parts by who calls them.
//!
//! | part | who calls it |
//! |---|---|
//! | [`Records`] | runs, which are fenced, and readers |
//! | [`Catalog`] | who deploys and connects |
//! | [`Queue`] | the dispatcher of each host: schedules, jobs, leases |
//! | [`Outbox`] | the worker of each host that delivers webhooks, and who configures endpoints |
//! | [`Requests`] | the HTTP API: keys, and requests that may be repeated |
//! | [`Maintenance`] | operators, and the process that opened the store |
//!
//! Each method is one command: it happens whole and durably, or not at all. It is not a key-value
//! API: a backend does one batch or one transaction for each. What both backends decide alike is in [`rules`].
//!
//! # With several hosts
//!
//! Several processes may use one store. Unless a method says otherwise, any of them may call it at any time, and
//! commands take effect one after the other, in one order for all.
//!
//! - **Ids are the caller's.** Repeating a command whose answer was lost finds its own work and changes nothing.
//!   A method says so with *idempotent*, and by what.
//! - **A run writes under its fence.** The store gives it out once. A run that has ended, was removed or has lost
//!   its lease gets [`StoreError::Fenced`] from each command, on whatever host it goes on.
//! - **A revision guards what several change.** An update names the revision that it has seen, and changes nothing when
//!   there is another one.
//! - **Times are the caller's.** A store has no clock. It compares the `now` of the caller with times that other callers
//!   have given, so the clocks of hosts must agree to within a fraction of a lease. The board never goes back: it uses
//!   the latest time of which it has heard.
//!
//! Two things do not have a form for several hosts yet, and say so: [`Queue::recover_runs`], as runs that no job is for have no
//! lease, and [`Outbox::due_deliveries`], as only the caller knows what is on its way.

mod catalog;
mod durable;
mod filters;
mod known;
mod maintenance;
mod outbox;
mod queue;
mod records;
mod requests;
pub mod rules;

pub use crate::error::StoreError;
pub use crate::feed::{ActionFilter, Changes, ReadChanges, SMALL_READ};
pub use crate::run::Started;
pub use crate::upkeep::ModelStats;
pub use catalog::Catalog;
pub use durable::Durable;
pub use filters::{DeliveryFilter, JobFilter, OUTCOMES, RunFilter, ScheduleFilter};
pub use known::{ModelError, check_model};
pub use maintenance::Maintenance;
pub use outbox::{Due, DueDeliveries, DueDelivery, Outbox, Replay, Replayed};
pub use queue::{
    Backfill, Claim, Claimed, PutSchedule, Queue, QueueFigures, RefirePolicy, RetentionReport,
};
pub use records::{Commit, Durability, Records};
pub use requests::Requests;
pub use tidegate_rules::snapshot::{
    EndSnapshot, Ended, Proof, SnapshotGuard, SnapshotRefusal, Unseen,
};

/// All parts together: what a host needs. Whatever implements the parts is one.
pub trait Store:
    Records + Catalog + Queue + Outbox + Requests + Maintenance + std::fmt::Debug
{
}

impl<T> Store for T where
    T: Records + Catalog + Queue + Outbox + Requests + Maintenance + std::fmt::Debug
{
}

/// The parts, to be imported with `*` where a backend is called by its own type: `dyn Store` has their methods by itself.
pub mod parts {
    pub use super::{
        Catalog as _, Maintenance as _, Outbox as _, Queue as _, Records as _, Requests as _,
    };
}
