//! Kills a process that writes and reads under load, again and again, and looks at what is left.
//!
//! The child is the test program itself. It commits pages, snapshots and relaxed pages, prunes, drops
//! and fills again, settles, follows the change feed, and prints what it begins, what was
//! acknowledged and what it read. The parent kills it at a random moment, opens the store and
//! checks. `TIDEGATE_CRASH_KILLS` says how many kills (default 200), `TIDEGATE_CRASH_SEED` repeats
//! a series.

mod child;
mod consumer;
mod expected;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tidegate_engine::cursor::Cursor;
use tidegate_engine::{Store, Timestamp};

use crate::Backend;
use crate::fixtures::*;
use consumer::Consumer;
use expected::{Asked, Expected};

/// Ids that the child writes, in pages of [`PAGE`].
const IDS: u64 = 120;
const PAGE: u64 = 30;
/// Every so many commits the child takes a snapshot, which sees the first few records only.
const SNAPSHOT_EVERY: u64 = 12;
const SNAPSHOT_SEES: usize = 20;
/// Records of the model that is dropped and filled again.
const FILLED: u64 = 60;

/// A generator of random numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn id(number: u64) -> String {
    format!("id-{number:04}")
}

/// What commit `number` saves of the id `n`.
fn body(n: u64, number: u64) -> String {
    let pad = "x".repeat((n * number % 400) as usize);
    format!("{{\"commit\":{number},\"pad\":\"{pad}\"}}")
}

/// The ids that commit `number` saves: [`PAGE`] neighbours.
fn ids_of(number: u64) -> impl Iterator<Item = u64> {
    let first = number * 7 % IDS;
    (first..first + PAGE).map(|n| n % IDS)
}

/// The number of the last commit that is stored: its checkpoint.
async fn stored_commit(store: &dyn Store) -> u64 {
    let checkpoint = store.checkpoint(&sync("acme", "contacts")).await.unwrap();
    checkpoint.map_or(0, |text| text.parse().unwrap())
}

/// Start a child, let it live for a while, kill it; returns the whole lines that it printed.
fn kill_one(
    test: &str,
    root: &Path,
    generation: u64,
    cursor: Option<Cursor>,
    after: Duration,
) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("TIDEGATE_CRASH_DIR", root)
        .env("TIDEGATE_CRASH_GENERATION", generation.to_string())
        .env(
            "TIDEGATE_CRASH_CURSOR",
            cursor.map_or(String::new(), |c| c.to_string()),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(after);
    assert!(
        child.try_wait().unwrap().is_none(),
        "a child ended by itself"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    // A kill may cut a line.
    let whole = reading
        .join()
        .unwrap()
        .into_iter()
        .filter(|line| line.ends_with(" ."));
    whole.collect()
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Kill a process that works on the store, many times. `test` is the whole name of the test that calls this: the child is the
/// same program with that test only. `before_opening` may leave what a kill can leave, and `opened` look at what became of it.
pub fn kills_lose_nothing<B: Backend>(
    backend: &B,
    test: &str,
    before_opening: impl Fn(u64, &Path),
    opened: impl Fn(u64, &B::Store),
) {
    if let Ok(root) = std::env::var("TIDEGATE_CRASH_DIR") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(child::live(&backend.open(root.as_ref())));
        return;
    }
    let kills = number_from("TIDEGATE_CRASH_KILLS", 200);
    let seed = number_from("TIDEGATE_CRASH_SEED", std::process::id().into());
    println!("seed {seed}");
    let began = Instant::now();
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    block_on(set_up(&backend.open(dir.path())));
    let mut consumer = Consumer::default();
    let mut expected = Expected::default();
    let mut asked = Asked::default();
    let mut killed_in: BTreeMap<String, u64> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        // Some kills come while the store is being opened, most while it works.
        let longest = if kill % 4 == 0 { 15_000 } else { 200_000 };
        let after = Duration::from_micros(random.next(longest));
        let lines = kill_one(test, dir.path(), kill * 1000, consumer.cursor, after);
        let mut phase = "open".to_owned();
        for line in &lines {
            let words: Vec<&str> = line.split(' ').collect();
            if words[0] == "phase" {
                phase = words[1].to_owned();
            }
            asked.learn(&words);
            consumer.learn(&words, asked.prune);
        }
        *killed_in.entry(phase).or_default() += 1;

        before_opening(kill, dir.path());
        let opening = Instant::now();
        let store = backend.open(dir.path());
        slowest = slowest.max(opening.elapsed());
        opened(kill, &store);
        block_on(async {
            expected.check(&store, &mut asked).await;
            consumer.catch_up(&store, asked.prune).await;
            expected.check_consumer(&consumer);
            // And so does whoever reads it from the start.
            let mut fresh = Consumer::default();
            fresh.catch_up(&store, asked.prune).await;
            expected.check_consumer(&fresh);
            let report = store.check().await.unwrap();
            assert_eq!(report.findings, [], "after kill {kill}, {lines:?}");
        });
    }
    println!(
        "{kills} kills in {:.1} s: {killed_in:?}",
        began.elapsed().as_secs_f64()
    );
    println!(
        "{} commits, {} pages read, {} times expired, slowest open {slowest:?}",
        expected.last, consumer.pages, consumer.expired
    );
    assert!(
        expected.last > kills / 4 && consumer.pages > 0,
        "the children hardly got to work"
    );
    if kills >= 200 {
        for phase in ["open", "snapshot", "prune", "drop", "settle"] {
            let count = killed_in.get(phase).copied().unwrap_or(0);
            assert!(count > 0, "no kill during {phase}: {killed_in:?}");
        }
    }
}
