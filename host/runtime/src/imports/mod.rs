//! The guest's imports, one file per interface of `wit/`, thin over the store and the egress gate.

mod clock;
mod feed;
mod http;
mod log;
mod records;
mod snapshots;
mod state;
mod taken;

use tidegate_contract::tidegate::plugin as wit;

impl wit::types::Host for crate::state::RunState {}
