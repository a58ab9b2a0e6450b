//! `cargo bench --bench sync`: a hand-written native loop and Tidegate on the same loopback source.
//!
//! One JSON line for each case and system, then the ratios. Every system runs in processes of its
//! own; the source answers from memory in this one and is not counted. CPU is user + system of the
//! child processes, by `getrusage`; peak RSS is `VmHWM` of `/proc`. `TIDEGATE_BENCH_RECORDS` and
//! `TIDEGATE_BENCH_PAGE` change the size (100,000 records in pages of 1,000).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark that can't go on ends by panicking"
)]

mod measure;
mod native;
mod source;
mod tidegate;

use std::collections::BTreeMap;
use std::path::Path;

use measure::Measured;
use source::Source;

/// Share of records that change before the incremental case: 1 %.
const CHANGED_ONE_IN: usize = 100;
const CASES: [&str; 3] = ["initial", "unchanged", "incremental"];

/// A system under measurement: it syncs the source once in a process of its own.
trait System {
    fn name(&self) -> &'static str;
    /// Sync; `full` pulls everything again though a checkpoint is there.
    fn sync(&self, full: bool) -> Measured;
    /// How many records its store holds, to check that the work was done.
    fn stored(&self) -> usize;
    fn disk_bytes(&self) -> u64;
}

fn main() {
    if let Some(task) = native::task_from_env() {
        native::run(&task);
        return;
    }
    let records = from_env("TIDEGATE_BENCH_RECORDS", 100_000);
    let page = from_env("TIDEGATE_BENCH_PAGE", 1_000);
    let directory = tempfile::tempdir().expect("a directory for the stores");
    let mut cpu: BTreeMap<(&str, &str), f64> = BTreeMap::new();

    // Side by side: the systems take turns, so that a noisy moment hits both.
    let sources: Vec<Source> = (0..2).map(|_| Source::start(records, page)).collect();
    let systems: Vec<Box<dyn System>> = vec![
        Box::new(native::Native::new(directory.path(), &sources[0], page)),
        Box::new(tidegate::Tidegate::new(directory.path(), &sources[1], page)),
    ];
    for case in CASES {
        if case == "incremental" {
            sources
                .iter()
                .for_each(|source| source.change_one_in(CHANGED_ONE_IN));
        }
        for system in &systems {
            let measured = system.sync(case == "unchanged");
            assert_eq!(
                system.stored(),
                records,
                "{} stored something else",
                system.name()
            );
            println!(
                "{}",
                serde_json::json!({
                    "bench": "sync", "case": case, "system": system.name(),
                    "records": if case == "incremental" { records / CHANGED_ONE_IN } else { records },
                    "page": page,
                    "cpu_s": rounded(measured.cpu_s), "wall_s": rounded(measured.wall_s),
                    "rss_mb": rounded(measured.rss_mb),
                    "disk_mb": rounded(system.disk_bytes() as f64 / 1e6),
                })
            );
            cpu.insert((case, system.name()), measured.cpu_s);
        }
    }
    for case in CASES {
        let ratio = cpu[&(case, "tidegate")] / cpu[&(case, "native")];
        println!("ratio tidegate/native, CPU, {case}: {ratio:.2}");
    }
}

fn from_env(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Bytes of all files below `path`.
fn size_of(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    };
    entries.flatten().map(|entry| size_of(&entry.path())).sum()
}
