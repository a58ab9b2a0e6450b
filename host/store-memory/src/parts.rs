//! The parts of the trait, each in its file.

mod catalog;
mod maintenance;
mod outbox;
mod queue;
mod records;
mod requests;
