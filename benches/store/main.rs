//! What the store alone costs: CPU seconds for 100,000 records of 343 bytes, in durable pages of
//! 1,000, and how fast its change feed is read.
//!
//! `cargo bench --bench store` prints one JSON line for each number of records given in the
//! variable `TIDEGATE_BENCH_RECORDS` (default `100000,1000000`), each from a process of its own.
//! Then how a store of many connections of 20 models each behaves, for the numbers in
//! `TIDEGATE_BENCH_CONNECTIONS` (default `10,10000`): what should not depend on the number. Last, how long other
//! commands wait while something long goes on at a model of the records in `TIDEGATE_BENCH_HOLDS` (default `1000000`).
//! An empty variable leaves its part out.
//! Bodies are made before the clock starts, so a figure is hashing, planning, compressing, writing
//! and syncing, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark that can't go on ends by panicking"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tidegate_engine::canonical;
use tidegate_engine::integration::Digest;
use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::{Fence, Figures, NewRun, RunId, Target, Trigger};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{
    ActionFilter, Commit, Durability, EndSnapshot, Proof, ReadChanges, SnapshotGuard,
};
use tidegate_engine::{ConnectionKey, Name, SyncKey, Timestamp};
use tidegate_store_sled::{Options, SledStore};

use common::cpu;

#[path = "../common/mod.rs"]
mod common;
mod holds;
mod scale;

type Failure = Box<dyn std::error::Error>;

const PAGE: usize = 1000;
/// Tells a child what to measure: a number of records, `connections=N` or `holds=N`.
const CHILD: &str = "TIDEGATE_BENCH_STORE_CHILD";

/// The options that a server would use, but for the cache if `TIDEGATE_BENCH_CACHE_MB` is set.
fn options() -> Options {
    let mut options = Options::default();
    if let Some(mb) = std::env::var("TIDEGATE_BENCH_CACHE_MB")
        .ok()
        .and_then(|mb| mb.parse::<u64>().ok())
    {
        options.cache_bytes = mb * 1024 * 1024;
    }
    options
}

/// A body of 343 bytes as an API may send it: keys unsorted, one object and one list inside.
fn body(id: usize, version: usize) -> String {
    format!(
        r#"{{"id":"cus_{id:010}","object":"customer","email":"customer.{id:07}@example.com","name":"Customer Number {id:07}","phone":"+49 170 {id:07}","created":{created},"balance":{version},"currency":"eur","livemode":true,"address":{{"line1":"{id} Long Street Name","city":"Hamburg","postal_code":"20095","country":"DE"}},"tags":["alpha","beta","gamma","{tag:06}"]}}"#,
        created = 1_600_000_000 + id,
        tag = id.wrapping_mul(2_654_435_761) % 1_000_000,
    )
}

/// A permutation of 0..n: steps of a number that shares no factor with n.
fn shuffled(n: usize) -> impl Iterator<Item = usize> {
    let step = (n as f64 * 0.618) as usize | 1;
    let step = (step..)
        .step_by(2)
        .find(|step| gcd(*step, n) == 1)
        .unwrap_or(1);
    (0..n).map(move |index| index * step % n)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A run of the connection's sync that nobody's component does.
fn new_run(connection: ConnectionKey, id: RunId) -> NewRun {
    NewRun {
        id,
        target: Target::Sync(SyncKey {
            connection,
            sync: "pull".parse().expect("a name"),
            variant: Name::base_variant(),
        }),
        plugin: Digest::of(b"bench"),
        plugin_version: "1.0.0".into(),
        trigger: Trigger::Manual,
        attempt: 1,
        job: None,
        reset: false,
        now: Timestamp(1),
    }
}

struct Bench {
    store: Arc<SledStore>,
    records: usize,
    run: RunId,
    fence: Fence,
    model: Name,
    connection: ConnectionKey,
}

impl Bench {
    async fn new(root: &Path, records: usize) -> Result<Self, Failure> {
        let store = Arc::new(SledStore::open(root, options())?);
        common::deploy(&*store).await;
        let connection = common::key("acme");
        common::connect(&*store, connection.clone()).await;
        let run = RunId::from_parts(Timestamp(1), 1);
        let started = store.start_run(new_run(connection.clone(), run)).await?;
        let model = "Customer".parse()?;
        Ok(Self {
            store,
            records,
            run,
            fence: started.fence,
            model,
            connection,
        })
    }

    /// Commit all `ids` in pages; CPU and wall seconds per 100,000.
    async fn pull(
        &self,
        ids: impl Iterator<Item = usize>,
        version: usize,
    ) -> Result<(f64, f64), Failure> {
        let mut ids = ids.peekable();
        let (mut cpu_used, mut wall) = (0.0, 0.0);
        while ids.peek().is_some() {
            // Some pages ahead, so that the clock need not be stopped often.
            let commits: Vec<Commit> = std::iter::from_fn(|| {
                let save: Vec<Save> = ids
                    .by_ref()
                    .take(PAGE)
                    .map(|id| Save {
                        id: format!("cus_{id:010}"),
                        body: body(id, version),
                        hash: None,
                    })
                    .collect();
                (!save.is_empty()).then(|| Commit {
                    pages: vec![Page {
                        save,
                        delete: Vec::new(),
                        ..Page::of(self.model.clone())
                    }],
                    checkpoint: Some(r#"{"page":"next"}"#.into()),
                    durability: Durability::Durable,
                    progress: Figures::default(),
                    now: Timestamp(1_700_000_000_000 + version as u64),
                })
            })
            .take(50)
            .collect();
            let (cpu_before, wall_before) = (cpu(), Instant::now());
            for commit in commits {
                self.store.commit_page(self.run, self.fence, commit).await?;
            }
            cpu_used += cpu() - cpu_before;
            wall += wall_before.elapsed().as_secs_f64();
        }
        let scale = 100_000.0 / self.records as f64;
        Ok((cpu_used * scale, wall * scale))
    }

    /// Read the feed to its end; records per second of CPU.
    async fn read(&self) -> Result<f64, Failure> {
        let mut read = ReadChanges {
            model: self.connection.model(self.model.clone()),
            after: None,
            filter: ActionFilter::ALL,
            limit: PAGE,
            bytes_max: usize::MAX,
        };
        let before = cpu();
        let mut records = 0;
        loop {
            let changes = self.store.read_changes(read.clone()).await?;
            records += changes.records.len();
            read.after = Some(changes.next);
            if !changes.more {
                break;
            }
        }
        assert_eq!(records, self.records);
        Ok(records as f64 / (cpu() - before))
    }

    /// Get single records by id; microseconds of CPU each.
    async fn get(&self) -> Result<f64, Failure> {
        let model = self.connection.model(self.model.clone());
        let before = cpu();
        for id in shuffled(self.records).take(2000) {
            let found = self
                .store
                .records(&model, &[format!("cus_{id:010}")])
                .await?;
            assert!(found.iter().all(Option::is_some));
        }
        Ok((cpu() - before) * 1e6 / 2000.0)
    }
}

/// The peak of resident memory so far, in MB.
fn rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

fn disk(root: &Path) -> Result<f64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            meta if meta.is_dir() => (disk(&entry.path())? * 1e6) as u64,
            meta => std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
        };
    }
    Ok(bytes as f64 / 1e6)
}

async fn measure(records: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::new(dir.path(), records).await?;
    let json_mb = records as f64 * body(0, 0).len() as f64 / 1e6;

    let bodies: Vec<String> = (0..100_000).map(|id| body(id, 0)).collect();
    let before = cpu();
    for body in &bodies {
        std::hint::black_box(canonical::hash(body)?);
    }
    let hash = cpu() - before;
    drop(bodies);

    let initial = bench.pull(0..records, 0).await?;
    let (loaded_mb, loaded_rss) = (disk(dir.path())?, rss());
    let read = bench.read().await?;
    let unchanged = bench.pull(0..records, 0).await?;
    let unchanged_shuffled = bench.pull(shuffled(records), 0).await?;
    bench
        .store
        .begin_snapshot(bench.run, bench.fence, &bench.model, false)
        .await?;
    let snapshot = bench.pull(0..records, 0).await?;
    let guard = SnapshotGuard::default();
    bench
        .store
        .end_snapshot(
            bench.run,
            bench.fence,
            &bench.model,
            EndSnapshot {
                proof: Proof::OneAnswer,
                guard,
                checkpoint: None,
                now: Timestamp(2),
            },
        )
        .await?;
    let overwrite = bench.pull(shuffled(records), 1).await?;
    let overwritten_mb = disk(dir.path())?;
    let (cpu_before, wall_before) = (cpu(), Instant::now());
    bench.store.settle().await?;
    let settle = (cpu() - cpu_before, wall_before.elapsed().as_secs_f64());
    let settled_mb = disk(dir.path())?;
    let read_overwritten = bench.read().await?;
    let get = bench.get().await?;
    bench.store.close().await?;
    drop(bench);
    let open = || {
        let (cpu_before, wall_before) = (cpu(), Instant::now());
        let store = SledStore::open(dir.path(), options())?;
        let took = (cpu() - cpu_before, wall_before.elapsed().as_secs_f64());
        drop(store);
        Ok::<_, Failure>(took)
    };
    let open_settled = open()?;
    let (cpu_before, wall_before) = (cpu(), Instant::now());
    tidegate_store_sled::rewrite(dir.path(), &options())?;
    let rewrite = (cpu() - cpu_before, wall_before.elapsed().as_secs_f64());
    let rewritten_mb = disk(dir.path())?;
    let open_rewritten = open()?;

    let round = |number: f64| (number * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "records": records,
        "body_bytes": body(0, 0).len(),
        "cpu_s_per_100k": {
            "hash_alone": round(hash),
            "initial": round(initial.0),
            "unchanged": round(unchanged.0),
            "unchanged_random_order": round(unchanged_shuffled.0),
            "unchanged_in_snapshot": round(snapshot.0),
            "overwrite_random_order": round(overwrite.0),
        },
        "wall_s_per_100k": {
            "initial": round(initial.1),
            "unchanged": round(unchanged.1),
            "overwrite_random_order": round(overwrite.1),
        },
        "feed_records_per_cpu_s": { "loaded": read.round(), "overwritten": read_overwritten.round() },
        "get_cpu_us": round(get),
        "disk_mb": { "json": json_mb.round(), "loaded": loaded_mb.round(), "overwritten": overwritten_mb.round(), "settled": settled_mb.round(), "rewritten": rewritten_mb.round() },
        "settle_s": { "cpu": round(settle.0), "wall": round(settle.1) },
        "rewrite_s": { "cpu": round(rewrite.0), "wall": round(rewrite.1) },
        "rss_mb": { "loaded": loaded_rss.round(), "peak": rss().round() },
        "open_s": { "settled": round(open_settled.1), "rewritten": round(open_rewritten.1) },
    });
    println!("{line}");
    Ok(())
}

fn main() -> Result<(), Failure> {
    if let Ok(task) = std::env::var(CHILD) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(async {
            match task.split_once('=') {
                Some(("connections", number)) => scale::measure(number.parse()?).await,
                Some((_, number)) => holds::measure(number.parse()?).await,
                None => measure(task.parse()?).await,
            }
        });
    }
    let list = |name: &str, default: &str| {
        let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
        text.split(',')
            .map(|part| part.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let mut tasks = list("TIDEGATE_BENCH_RECORDS", "100000,1000000");
    let connections = list("TIDEGATE_BENCH_CONNECTIONS", "10,10000");
    tasks.extend(connections.iter().map(|n| format!("connections={n}")));
    let holds = list("TIDEGATE_BENCH_HOLDS", "1000000");
    tasks.extend(holds.iter().map(|n| format!("holds={n}")));
    tasks.retain(|task| !task.is_empty() && !task.ends_with('='));
    for task in tasks {
        let child = std::process::Command::new(std::env::current_exe()?)
            .env(CHILD, &task)
            .status()?;
        assert!(
            child.success(),
            "the measurement of {task} ended with {child}"
        );
    }
    Ok(())
}
