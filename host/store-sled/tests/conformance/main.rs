//! The sled store is held to what any backend is, to its bounds, and to what only files can show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "a test ends by panicking, helpers included; `pub` says what the files share"
)]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod limits;
mod power;
mod retention;
mod transfer;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;
use tidegate_store_conformance::fixtures::copy_files;
use tidegate_store_conformance::{Backend, random};
use tidegate_store_sled::{Options, SledStore, Tuning};

/// Seeds of cases that failed once; they are run first.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance.regressions");

/// Bytes at the begin of the write-ahead log that say which round of it this is.
const ROUND: usize = 28;

/// The sled store, and what its files were when it was last synced.
struct Sled {
    options: Options,
    synced: Mutex<Synced>,
}

#[derive(Default)]
struct Synced {
    files: Option<TempDir>,
    /// The log, and how many writes were on disk, when that was last looked at.
    log: Vec<u8>,
    identity: String,
    /// How often sled was synced since: as the log began anew, and for what goes around it.
    rounds: u32,
    large: u32,
}

impl Sled {
    fn with(options: Options) -> Self {
        Self {
            options,
            synced: Mutex::default(),
        }
    }

    /// With a write-ahead log that is full after a few commands, or with none: then each command is in sled at
    /// once, and flushed there.
    fn small(gathers: bool) -> Self {
        let tuning = Tuning {
            compact_slack: 8,
            fold_after: 4,
            ending_step: 10,
            step_keys: 15,
            step_bytes: 20_000,
            wal_bytes: if gathers { 30_000 } else { 0 },
            gather_bytes: if gathers { 50_000 } else { 0 },
            ..Tuning::default()
        };
        Self::with(Options {
            cache_bytes: 8 << 20,
            tuning,
        })
    }

    fn syncs(&self) -> (u32, u32) {
        let synced = self.synced.lock().unwrap();
        (synced.rounds, synced.large)
    }
}

impl Backend for Sled {
    type Store = SledStore;

    fn open(&self, place: &Path) -> SledStore {
        SledStore::open(place, self.options).unwrap()
    }

    /// sled's own files as they were when sled was last synced, which it is when the log begins anew and when a commit goes
    /// around the log; and the log as it is.
    fn without_power(&self, place: &Path) -> TempDir {
        let log = fs::read(place.join("db/wal")).unwrap();
        let mut synced = self.synced.lock().unwrap();
        let is_first = synced.files.is_none();
        let is_new_round = log[..ROUND.min(log.len())] != synced.log[..ROUND.min(synced.log.len())];
        let identity = fs::read_to_string(place.join("identity")).unwrap();
        let is_around = log == synced.log && identity != synced.identity;
        if is_first || is_new_round || is_around {
            let files = tempfile::tempdir().unwrap();
            copy_files(place, files.path());
            synced.files = Some(files);
            synced.rounds += u32::from(is_new_round && !is_first);
            synced.large += u32::from(is_around);
        }
        synced.log = log;
        synced.identity = identity;
        let left = tempfile::tempdir().unwrap();
        copy_files(synced.files.as_ref().unwrap().path(), left.path());
        fs::write(left.path().join("db/wal"), &synced.log).unwrap();
        left
    }
}

/// Both ways of writing.
fn both_ways() -> [Sled; 2] {
    [false, true].map(Sled::small)
}

tidegate_store_conformance::cases!(crate::Sled::with(Default::default()));

#[test]
fn sled_does_what_memory_does() {
    random::commands(&both_ways(), SEEDS);
}

#[test]
fn sled_schedules_and_queues_as_memory_does() {
    random::work_of_the_queue(&both_ways(), SEEDS);
}

#[test]
fn what_failed_once_does_not_again() {
    random::regressions::what_failed_once_does_not_again(&both_ways());
}

#[test]
fn ranges_of_a_log_that_overlap_are_read_as_one() {
    random::regressions::ranges_of_a_log_that_overlap_are_read_as_one(&both_ways());
}

#[test]
fn there_is_a_most_of_keys() {
    random::most_api_keys(&Sled::small(false));
}
