//! `cargo bench --bench sync`: loops written by hand and Tidegate on the same loopback source.
//!
//! One JSON line for each case and system, then the ratios to the loop on redb. Every system runs
//! in processes of its own; the source answers from memory in this one and is not counted. CPU is
//! user + system of the child processes, by `getrusage`; peak RSS is `VmHWM` of `/proc`. Systems
//! take turns, case by case, so that a noisy moment hits all; the median of the rounds counts.
//!
//! | variable | default | |
//! |---|---|---|
//! | `TIDEGATE_BENCH_RECORDS` | 100000 | records of the source |
//! | `TIDEGATE_BENCH_PAGES` | 100,1000 | page sizes |
//! | `TIDEGATE_BENCH_ROUNDS` | 3 | times that all is measured |
//! | `TIDEGATE_BENCH_CONCURRENT` | 1000 | runs at once, of 100 records each |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark that can't go on ends by panicking"
)]

mod inside;
mod measure;
mod native;
mod source;
mod tidegate;

use std::collections::BTreeMap;
use std::path::Path;

use measure::Measured;
use native::Native;
use serde_json::json;
use source::Source;
use tidegate::Tidegate;

/// Share of records that change: 1 %; and that are deleted: 0.1 %.
const CHANGED_ONE_IN: usize = 100;
const DELETED_ONE_IN: usize = 1000;
/// Incremental runs inside one process.
const INSIDE_RUNS: usize = 20;
/// Records of each of the runs at once.
const SMALL: usize = 100;
/// What the ratios are to.
const FLOOR: &str = "native-redb";

/// How much a sync pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pull {
    /// Everything, though a checkpoint may be there; what is gone is deleted.
    Full,
    /// What changed since the last time.
    Incremental,
}

/// A system under measurement: it syncs the source in a process of its own.
trait System {
    fn name(&self) -> &'static str;
    fn sync(&self, pull: Pull) -> Measured;
    /// CPU seconds of an incremental run inside a process that goes on: the mean of `runs`, each
    /// after a change of 1 %.
    fn incremental_inside(&self, runs: usize) -> f64;
    /// How many records its store holds, to check that the work was done.
    fn stored(&self) -> usize;
    fn disk_bytes(&self) -> u64;
}

const CASES: [(&str, Pull); 4] = [
    ("initial", Pull::Full),
    ("unchanged", Pull::Full),
    ("changed", Pull::Full),
    ("incremental", Pull::Incremental),
];
/// The case that [`System::incremental_inside`] measures.
const INSIDE: &str = "incremental-inside";

/// CPU seconds by page size, case and system, one for each round.
type Figures = BTreeMap<(usize, &'static str, &'static str), Vec<f64>>;

fn main() {
    if native::run_if_asked() || inside::run_if_asked() {
        return;
    }
    let records = from_env("TIDEGATE_BENCH_RECORDS", 100_000);
    let pages = std::env::var("TIDEGATE_BENCH_PAGES").unwrap_or("100,1000".into());
    let pages = pages.split(',').map(|page| page.trim().parse().unwrap());
    let pages: Vec<usize> = pages.collect();
    let mut figures = Figures::new();
    for round in 1..=from_env("TIDEGATE_BENCH_ROUNDS", 3) {
        for page in &pages {
            measure_all(round, records, *page, &mut figures);
        }
    }
    summary(&figures);
    concurrent(from_env("TIDEGATE_BENCH_CONCURRENT", 1000));
}

fn measure_all(round: usize, records: usize, page: usize, figures: &mut Figures) {
    let directory = tempfile::tempdir().expect("a directory for the stores");
    let directory = directory.path();
    // Each has a source of its own: runs inside a process change theirs.
    let sources: [Source; 4] = std::array::from_fn(|_| Source::start(records));
    let systems: [Box<dyn System>; 4] = [
        Box::new(Native::new(FLOOR, directory, &sources[0], page)),
        Box::new(Native::new("native-sled", directory, &sources[1], page)),
        Box::new(Tidegate::rest(directory, &sources[2], page)),
        Box::new(Tidegate::coded(directory, &sources[3], page)),
    ];
    for (case, pull) in CASES {
        for source in &sources {
            match case {
                "changed" => {
                    source.change_one_in(CHANGED_ONE_IN);
                    source.remove_one_in(DELETED_ONE_IN);
                }
                "incremental" => source.change_one_in(CHANGED_ONE_IN),
                _ => {}
            }
        }
        for (system, source) in systems.iter().zip(&sources) {
            let measured = system.sync(pull);
            let name = system.name();
            assert_eq!(system.stored(), source.count(), "{name} stored others");
            let line = json!({
                "bench": "sync", "round": round, "case": case, "system": name,
                "records": records, "page": page,
                "cpu_s": rounded(measured.cpu_s), "wall_s": rounded(measured.wall_s),
                "rss_mb": rounded(measured.rss_mb),
                "disk_mb": rounded(system.disk_bytes() as f64 / 1e6),
            });
            println!("{line}");
            let all = figures.entry((page, case, name)).or_default();
            all.push(measured.cpu_s);
        }
    }
    for system in &systems {
        let cpu = system.incremental_inside(INSIDE_RUNS);
        let line = json!({
            "bench": "sync", "round": round, "case": INSIDE, "system": system.name(),
            "records": records, "page": page, "cpu_s": rounded(cpu),
        });
        println!("{line}");
        let all = figures.entry((page, INSIDE, system.name())).or_default();
        all.push(cpu);
    }
}

/// Medians and their ratios.
fn summary(figures: &Figures) {
    for ((page, case, system), all) in figures {
        let cpu = median(all);
        let ratio = cpu / median(&figures[&(*page, *case, FLOOR)]);
        let line = json!({
            "bench": "sync", "median_of": all.len(), "page": page, "case": case, "system": system,
            "cpu_s": rounded(cpu), "ratio_to_native_redb": rounded(ratio),
        });
        println!("{line}");
    }
}

fn concurrent(runs: usize) {
    let directory = tempfile::tempdir().expect("a directory for the store");
    let source = Source::start(SMALL);
    let tidegate = Tidegate::coded(directory.path(), &source, SMALL);
    let measured = tidegate.concurrent(runs);
    println!(
        "{}",
        json!({ "bench": "concurrent", "runs": runs, "records": SMALL, "of_the_runs": measured })
    );
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
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
