//! Kills a process that writes and reads under load, again and again, and looks at what is left.
//!
//! The child is this test program itself. It commits pages, snapshots and relaxed pages, follows
//! the change feed and prints what was acknowledged and what it read; the parent kills it at a
//! random moment, opens the store and checks. `TIDEGATE_CRASH_KILLS` says how many kills (default
//! 30), `TIDEGATE_CRASH_SEED` repeats a series.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tidegate_engine::cursor::Cursor;
use tidegate_engine::record::{Action, Page, Save};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, RunId, Target};
use tidegate_engine::store::{Commit, Durability, ReadChanges, SnapshotGuard};
use tidegate_engine::{Store, Timestamp};
use tidegate_store::{Options, SledStore, Tuning};

use common::*;

/// Ids that the child writes, in pages of [`PAGE`].
const IDS: u64 = 120;
const PAGE: u64 = 30;
/// Every so many commits the child takes a snapshot, which sees the first few records only.
const SNAPSHOT_EVERY: u64 = 12;
const SNAPSHOT_SEES: usize = 20;

fn open_busy(root: &Path) -> SledStore {
    // Compaction, folding and endings in steps happen all the time.
    let tuning = Tuning {
        compact_slack: 40,
        fold_after: 5,
        ending_step: 7,
    };
    SledStore::open(
        root,
        Options {
            cache_bytes: 8 << 20,
            tuning,
        },
    )
    .unwrap()
}

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

/// The page that commit `number` saves: [`PAGE`] ids, each body naming the commit.
fn page_of(number: u64) -> Page {
    let first = number * 7 % IDS;
    let save = (first..first + PAGE).map(|n| Save {
        id: id(n % IDS),
        body: format!(
            "{{\"commit\":{number},\"pad\":\"{}\"}}",
            "x".repeat((n * number % 400) as usize)
        ),
    });
    Page {
        model: name("Contact"),
        save: save.collect(),
        delete: vec![],
    }
}

fn commit_number(body: &str) -> u64 {
    let rest = body.strip_prefix("{\"commit\":").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// The number of the last commit that is stored: its checkpoint.
async fn stored_commit(store: &SledStore) -> u64 {
    let checkpoint = store.checkpoint(&sync("acme", "contacts")).await.unwrap();
    checkpoint.map_or(0, |text| text.parse().unwrap())
}

/// What the child does until it is killed. Each line it prints is true when it is printed.
async fn child(root: &Path) {
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    let store = open_busy(root);
    say("open".into());
    let why = Failure::new(FailureClass::Internal, Blame::Host, "killed");
    store.recover_runs(why, Timestamp(1)).await.unwrap();
    let mut number = stored_commit(&store).await;
    let (run, fence) = begin(&store).await;
    let reader = async {
        let mut after = None;
        loop {
            let changes = store
                .read_changes(ReadChanges {
                    after,
                    limit: 17,
                    ..read(model("acme", "Contact"))
                })
                .await
                .unwrap();
            let mut line = format!("read {}", changes.next);
            for record in &changes.records {
                let number = commit_number(record.body.as_deref().unwrap());
                write!(line, " {}={}:{}", record.id, number, record.action.as_str()).unwrap();
            }
            after = Some(changes.next);
            // A kill may cut a line.
            say(line + " .");
        }
    };
    let writer = async {
        loop {
            if number > 0 && number.is_multiple_of(SNAPSHOT_EVERY) {
                number = snapshot(&store, run, fence, number).await;
                say(format!("acked {number} ."));
            }
            number += 1;
            let mut commit: Commit = commit(vec![page_of(number)], number);
            commit.checkpoint = Some(number.to_string());
            if number.is_multiple_of(2) {
                commit.durability = Durability::Relaxed;
            }
            let durability = commit.durability;
            store.commit_page(run, fence, commit).await.unwrap();
            if durability == Durability::Durable {
                say(format!("acked {number} ."));
            }
        }
    };
    futures_join(reader, writer).await;
}

async fn begin(store: &SledStore) -> (RunId, Fence) {
    // Ids of runs may not repeat over restarts.
    let nanos = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos();
    let mut run = new_run(1, Target::Sync(sync("acme", "contacts")));
    run.id = RunId::from_parts(Timestamp(2), nanos);
    (run.id, store.start_run(run).await.unwrap().fence)
}

/// Take a snapshot that sees the first ids only. Its end is a commit of its own.
async fn snapshot(store: &SledStore, run: RunId, fence: Fence, number: u64) -> u64 {
    let contact = name("Contact");
    store
        .begin_snapshot(run, fence, &contact, true)
        .await
        .unwrap();
    let ids: Vec<String> = (0..IDS).map(id).collect();
    let found = store
        .records(&model("acme", "Contact"), &ids)
        .await
        .unwrap();
    let seen = found
        .into_iter()
        .flatten()
        .filter(|r| r.action != Action::Deleted)
        .take(SNAPSHOT_SEES);
    let save = seen
        .map(|record| Save {
            id: record.id,
            body: record.body.unwrap(),
        })
        .collect();
    let page = Page {
        model: contact.clone(),
        save,
        delete: vec![],
    };
    let counts = store
        .commit_page(run, fence, commit(vec![page], number))
        .await
        .unwrap();
    assert_eq!(counts[0].unchanged, counts[0].total());
    let number = number + 1;
    let guard = SnapshotGuard {
        max_share_percent: 100,
        allow_all: true,
    };
    let checkpoint = Some(number.to_string());
    store
        .end_snapshot(run, fence, &contact, guard, checkpoint, Timestamp(number))
        .await
        .unwrap();
    number
}

/// Run both forever, in one task, as two parts of one program.
async fn futures_join(left: impl Future<Output = ()>, right: impl Future<Output = ()>) {
    let (mut left, mut right) = (Box::pin(left), Box::pin(right));
    std::future::poll_fn(|context| {
        let _ = left.as_mut().poll(context);
        right.as_mut().poll(context)
    })
    .await;
}

/// A consumer that follows the feed over all kills.
#[derive(Default)]
struct Consumer {
    cursor: Option<Cursor>,
    /// The commit and action of each record, as last read.
    records: BTreeMap<String, (u64, String)>,
}

impl Consumer {
    /// Take in what the child printed that it read from the start of its life.
    fn learn(&mut self, line: &str) {
        let mut parts = line.split(' ').skip(1);
        self.cursor = Some(parts.next().unwrap().parse().unwrap());
        for part in parts.filter(|part| *part != ".") {
            let (id, state) = part.split_once('=').unwrap();
            let (number, action) = state.split_once(':').unwrap();
            self.records
                .insert(id.into(), (number.parse().unwrap(), action.into()));
        }
    }

    /// Read on to the end of the feed.
    async fn catch_up(&mut self, store: &SledStore) {
        loop {
            let read = ReadChanges {
                after: self.cursor,
                limit: 23,
                ..read(model("acme", "Contact"))
            };
            let changes = store.read_changes(read).await.unwrap();
            for record in changes.records {
                let number = commit_number(record.body.as_deref().unwrap());
                self.records
                    .insert(record.id, (number, record.action.as_str().to_owned()));
            }
            self.cursor = Some(changes.next);
            if !changes.more {
                return;
            }
        }
    }
}

/// What should be stored after commit `last`: for each id the last commit that saved it, and
/// whether it is deleted since.
fn expected(last: u64) -> BTreeMap<String, (u64, bool)> {
    let mut records: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    for number in 1..=last {
        if number % SNAPSHOT_EVERY == 1 && number > 1 {
            let live = records.values_mut().filter(|(_, deleted)| !deleted);
            live.skip(SNAPSHOT_SEES)
                .for_each(|(_, deleted)| *deleted = true);
        } else {
            let saved = page_of(number)
                .save
                .into_iter()
                .map(|save| (save.id, (number, false)));
            records.extend(saved);
        }
    }
    records
}

async fn check(store: &SledStore, acked: u64, consumer: &mut Consumer) -> u64 {
    let last = stored_commit(store).await;
    assert!(
        last >= acked,
        "commit {acked} was acknowledged, and the last one stored is {last}"
    );
    // Whole commits and nothing else: the checkpoint says which one was the last.
    let ids: Vec<String> = (0..IDS).map(id).collect();
    let records = store
        .records(&model("acme", "Contact"), &ids)
        .await
        .unwrap();
    let expected = expected(last);
    let (mut live, mut deleted) = (0, 0);
    let mut stored = BTreeMap::new();
    for record in records.into_iter().flatten() {
        let number = commit_number(record.body.as_deref().unwrap());
        let gone = record.action == Action::Deleted;
        assert_eq!(
            Some(&(number, gone)),
            expected.get(&record.id),
            "{} after {last}",
            record.id
        );
        *(if gone { &mut deleted } else { &mut live }) += 1;
        stored.insert(record.id, (number, record.action.as_str().to_owned()));
    }
    assert_eq!(stored.len(), expected.len());
    let models = store.models(&connection("acme")).await.unwrap();
    let counted = models
        .first()
        .map_or((0, 0), |(_, stats)| (stats.live, stats.deleted));
    assert_eq!(counted, (live, deleted));
    // Whoever followed the feed across all kills knows the same.
    consumer.catch_up(store).await;
    assert_eq!(
        consumer.records, stored,
        "the consumer missed something before commit {last}"
    );
    // And so does whoever reads it from the start.
    let mut fresh = Consumer::default();
    fresh.catch_up(store).await;
    assert_eq!(fresh.records, stored);
    last
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn kills_lose_nothing() {
    if let Ok(root) = std::env::var("TIDEGATE_CRASH_DIR") {
        block_on(child(root.as_ref()));
        return;
    }
    let kills = number_from("TIDEGATE_CRASH_KILLS", 30);
    let seed = number_from("TIDEGATE_CRASH_SEED", std::process::id().into());
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    block_on(set_up(&open_busy(dir.path())));
    let mut consumer = Consumer::default();
    let (mut last, mut in_open, mut read_lines) = (0, 0, 0);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills_lose_nothing", "--exact", "--nocapture"])
            .env("TIDEGATE_CRASH_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        // Some kills come while the store is being opened, most while it works.
        let longest = if kill % 4 == 0 { 15 } else { 150 };
        std::thread::sleep(Duration::from_micros(random.next(longest * 1000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut acked = last;
        let mut opened = false;
        for line in reading.join().unwrap() {
            match line.split(' ').next() {
                Some("open") => opened = true,
                Some("acked") if line.ends_with(" .") => {
                    acked = line[6..line.len() - 2].parse().unwrap();
                }
                Some("read") if line.ends_with(" .") => {
                    consumer.learn(&line);
                    read_lines += 1;
                }
                _ => {}
            }
        }
        in_open += u64::from(!opened);
        let store = open_busy(dir.path());
        last = block_on(check(&store, acked, &mut consumer));
    }
    println!(
        "{kills} kills, {in_open} before the store was open; {last} commits, {read_lines} pages read"
    );
    assert!(
        last > kills / 4 && read_lines > 0,
        "the children hardly got to work"
    );
}
