//! Random commands do the same to a backend as to the memory store, reopened and killed at any point.
//!
//! Every answer is compared, errors included, and at the end everything that can be listed. Whenever
//! the store was opened again, its own check must find nothing wrong.

/// The answer of a command, which is the same from both stores.
macro_rules! both {
    ($pair:expr, $store:ident => $call:expr) => {{
        let from_backend = {
            let $store: &dyn Store = $pair.store.as_ref().unwrap();
            $call.await
        };
        let from_memory = {
            let $store: &dyn Store = &$pair.memory;
            $call.await
        };
        assert_eq!(
            from_backend, from_memory,
            "left: the backend, right: memory"
        );
        from_memory
    }};
}

mod api_keys;
mod compare;
mod keyed;
pub mod regressions;
mod steps;
mod webhooks;
mod work;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use tidegate_engine::cursor::Cursor;
use tidegate_engine::job::{JobId, JobTarget, NewJob};
use tidegate_engine::record::{Page, Save, Skipped};
use tidegate_engine::run::{
    Blame, Failure, FailureClass, Fence, Level, LogLine, LogSource, Target,
};
use tidegate_engine::store::{
    ActionFilter, Commit, DueDelivery, Durability, EndSnapshot, Proof, ReadChanges, RunFilter,
    SnapshotGuard,
};
use tidegate_engine::transfer::ImportId;
use tidegate_engine::upkeep::Scope;
use tidegate_engine::{Store, StoreError, Timestamp};
use tidegate_store_memory::MemoryStore;

use crate::fixtures::*;
use crate::{Backend, fixtures};
use api_keys::ApiKeyStep;
use keyed::{RunEnding, StartKeyed};
use steps::*;
use webhooks::HookStep;
use work::{QueueStep, work};

const PROOFS: [Proof; 3] = [Proof::None, Proof::OneAnswer, Proof::TwoPasses];
const MODELS: [&str; 2] = ["Contact", "Deal"];
const CONNECTIONS: [&str; 3] = ["acme", "bolt", "nobody"];

/// Both stores, and what a client of them would remember.
struct Pair<'b, B: Backend> {
    backend: &'b B,
    place: tempfile::TempDir,
    store: Option<B::Store>,
    memory: MemoryStore,
    now: u64,
    next_run: u64,
    /// The last run that was started in each slot.
    runs: BTreeMap<u8, (u64, Fence)>,
    cursors: BTreeMap<(usize, usize), Cursor>,
    /// What was due when it was last asked for.
    due: Vec<DueDelivery>,
}

impl<'b, B: Backend> Pair<'b, B> {
    async fn new(backend: &'b B) -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = backend.open(place.path());
        set_up(&store).await;
        let cursor = store
            .read_changes(read(model("acme", "Contact")))
            .await
            .unwrap()
            .next;
        let memory = MemoryStore::new(cursor.store);
        set_up(&memory).await;
        Self {
            backend,
            place,
            store: Some(store),
            memory,
            now: 2_000_000_000,
            next_run: 0,
            runs: BTreeMap::new(),
            cursors: BTreeMap::new(),
            due: Vec::new(),
        }
    }

    fn run(&self, slot: u8) -> (u64, Fence) {
        self.runs.get(&slot).copied().unwrap_or((999_999, Fence(1)))
    }

    async fn step(&mut self, step: &Step) {
        self.now += 10;
        let now = Timestamp(self.now);
        match step {
            Step::Start {
                slot,
                target,
                reset,
            } => {
                let target = match target {
                    0 => Target::Sync(sync("acme", "contacts")),
                    1 => Target::Sync(sync("acme", "deals")),
                    2 => Target::Sync(sync("bolt", "contacts")),
                    3 => Target::Action {
                        connection: connection("acme"),
                        action: name("push"),
                    },
                    _ => Target::Sync(sync("nobody", "contacts")),
                };
                self.next_run += 1;
                let mut run = new_run(self.next_run, target);
                run.reset = *reset;
                let started = both!(self, store => store.start_run(run.clone()));
                if let Ok(started) = started {
                    self.runs.insert(*slot, (self.next_run, started.fence));
                    both!(self, store => store.start_run(run.clone())).unwrap();
                }
            }
            Step::Commit {
                slot,
                changes,
                checkpoint,
                relaxed,
                stale,
            } => {
                let (run, fence) = self.run(*slot);
                let fence = if *stale { Fence(fence.0 - 1) } else { fence };
                let mut commit: Commit = commit(pages(changes), self.now);
                commit.checkpoint = checkpoint.then(|| format!("{{\"at\":{}}}", self.now));
                commit.progress.requests = self.now;
                if *relaxed {
                    commit.durability = Durability::Relaxed;
                }
                let _ = both!(self, store => store.commit_page(run_id(run), fence, commit.clone()));
                if *relaxed {
                    // Readers see a relaxed commit after the next flush; this makes one.
                    self.metadata(*slot, serde_json::Map::new()).await;
                }
            }
            Step::Begin {
                slot,
                model,
                restart,
            } => {
                let (run, fence) = self.run(*slot);
                let model = name(MODELS[*model]);
                let _ = both!(self, store => store.begin_snapshot(run_id(run), fence, &model, *restart));
            }
            Step::End {
                slot,
                model,
                share,
                all,
                checkpoint,
                proof,
            } => {
                let (run, fence) = self.run(*slot);
                let model = name(MODELS[*model]);
                let guard = SnapshotGuard {
                    max_share_percent: *share,
                    allow_all: *all,
                };
                let checkpoint = checkpoint.then(|| format!("{{\"end\":{}}}", self.now));
                let _ = both!(self, store => store.end_snapshot(run_id(run), fence, &model, EndSnapshot { proof: PROOFS[*proof], guard, checkpoint: checkpoint.clone(), now }));
            }
            Step::Unseen {
                slot,
                model,
                share,
                limit,
            } => {
                let (run, fence) = self.run(*slot);
                let model = name(MODELS[*model]);
                let guard = SnapshotGuard {
                    max_share_percent: *share,
                    allow_all: *share > 40,
                };
                let _ = both!(self, store => store.unseen(run_id(run), fence, &model, guard, 0, *limit));
            }
            Step::Repeat {
                slot,
                model,
                checkpoint,
            } => {
                let (run, fence) = self.run(*slot);
                let model = name(MODELS[*model]);
                let checkpoint = checkpoint.then(|| format!("{{\"pass\":{}}}", self.now));
                let _ = both!(self, store => store.repeat_snapshot(run_id(run), fence, &model, checkpoint.clone()));
            }
            Step::Finish { slot } => {
                let (run, fence) = self.run(*slot);
                let _ = both!(self, store => store.finish_run(run_id(run), fence, end(self.now)));
            }
            Step::StartKeyed(start) => self.start_keyed(start).await,
            Step::FinishKeyed { slot, how } => self.finish_keyed(*slot, *how).await,
            Step::Hook(step) => self.hook(step).await,
            Step::OnKey(step) => self.on_key(step).await,
            Step::DayLater => self.now += tidegate_engine::idempotency::KEPT_MS,
            Step::Recover => self.recover().await,
            Step::Logs { slot, from, count } => {
                let (run, _) = self.run(*slot);
                let lines: Vec<LogLine> = (*from..from + count).map(|n| line(n, run)).collect();
                let _ = both!(self, store => store.append_logs(run_id(run), lines.clone()));
            }
            Step::ReadLogs { slot, from, limit } => {
                let (run, _) = self.run(*slot);
                let _ = both!(self, store => store.logs(run_id(run), *from, *limit));
            }
            Step::Read {
                model,
                connection,
                resume,
                deleted_only,
                limit,
                bytes,
            } => {
                let place = (*connection, *model);
                let after = if *resume {
                    self.cursors.get(&place).copied()
                } else {
                    None
                };
                let mut filter = ActionFilter::ALL;
                if *deleted_only {
                    filter = ActionFilter {
                        added: false,
                        updated: false,
                        deleted: true,
                    };
                }
                let key = fixtures::model(CONNECTIONS[*connection], MODELS[*model]);
                let read = ReadChanges {
                    model: key,
                    after,
                    filter,
                    limit: *limit,
                    bytes_max: *bytes,
                };
                if let Ok(changes) = both!(self, store => store.read_changes(read.clone())) {
                    self.cursors.insert(place, changes.next);
                }
            }
            Step::Get {
                model,
                connection,
                first,
                count,
            } => {
                let key = fixtures::model(CONNECTIONS[*connection], MODELS[*model]);
                let ids: Vec<String> = (*first..first + count).rev().map(id).collect();
                let _ = both!(self, store => store.records(&key, &ids));
                let _ = both!(self, store => store.records_within(&key, &ids, 40));
            }
            Step::Hashes {
                model,
                connection,
                first,
                count,
            } => {
                let key = fixtures::model(CONNECTIONS[*connection], MODELS[*model]);
                let ids: Vec<String> = (*first..first + count).map(id).collect();
                let _ = both!(self, store => store.hashes(&key, &ids));
            }
            Step::List => self.list().await,
            Step::Prune {
                model,
                connection,
                age,
            } => {
                let key = fixtures::model(CONNECTIONS[*connection], MODELS[*model]);
                let before = Timestamp(self.now - age * 10);
                let _ = both!(self, store => store.prune(&key, before));
            }
            Step::Drop { what, idle } => {
                if *idle {
                    self.recover().await;
                }
                let scope = what.scope();
                let _ = both!(self, store => store.drop_scope(&scope));
            }
            Step::Restore => {
                let now = self.now;
                for store in [self.store.as_ref().unwrap() as &dyn Store, &self.memory] {
                    let new = deployment(store, "1.0.0", now).await;
                    store.deploy(new).await.unwrap();
                }
                let new: Vec<_> = ["acme", "bolt"].map(new_connection).into();
                let told: Vec<_> = new.iter().map(|new| told(&new.key, now)).collect();
                let together =
                    both!(self, store => store.add_connections(new.clone(), told.clone()));
                if together.is_err() {
                    for new in new {
                        let _ = both!(self, store => store.add_connection(new.clone()));
                    }
                }
            }
            Step::Work(work) => self.work(work).await,
            Step::Settle => both!(self, store => store.settle()).unwrap(),
            Step::Metadata { slot, value } => {
                let value = serde_json::json!({ "a": value });
                self.metadata(*slot, value.as_object().unwrap().clone())
                    .await;
            }
            Step::Update {
                connection,
                tag,
                stale,
            } => self.update(CONNECTIONS[*connection], *tag, *stale).await,
            Step::Remove { connection } => {
                let key = fixtures::connection(CONNECTIONS[*connection]);
                let _ = both!(self, store => store.remove_connection(&key, now));
            }
            Step::Deploy { version } => {
                for store in [self.store.as_ref().unwrap() as &dyn Store, &self.memory] {
                    let new = deployment(store, &format!("{version}.0.0"), self.now).await;
                    store.deploy(new).await.unwrap();
                }
            }
            Step::Reopen(how) => {
                let store = self.store.take().unwrap();
                match how {
                    Reopen::Close => {
                        store.close().await.unwrap();
                        let closed = store.run(run_id(1)).await;
                        assert!(matches!(closed, Err(StoreError::Backend(_))), "{closed:?}");
                        drop(store);
                    }
                    Reopen::Drop => drop(store),
                    Reopen::Kill => {
                        // A durable command that changes nothing: what was relaxed is on disk, too.
                        store.abort_import(ImportId(1)).await.unwrap();
                        let left = self.backend.killed(self.place.path());
                        drop(store);
                        self.place = left;
                    }
                }
                self.store = Some(self.backend.open(self.place.path()));
                let report = self.store.as_ref().unwrap().check().await.unwrap();
                assert_eq!(report.findings, [], "after opening");
                assert_eq!(report.wrong, 0);
                self.take_up().await;
            }
        }
    }

    async fn recover(&self) {
        let now = Timestamp(self.now);
        let why = Failure::new(FailureClass::Internal, Blame::Host, "the process ended");
        both!(self, store => store.recover_runs(why.clone(), now)).unwrap();
    }

    async fn update(&self, name: &str, tag: u8, stale: bool) {
        let key = connection(name);
        let seen = both!(self, store => store.connection(&key));
        let mut new = seen.unwrap_or_else(|_| new_connection(name));
        new.revision = new.revision.wrapping_sub(u64::from(stale));
        new.tags
            .insert(format!("tag-{tag}"), "x".repeat(usize::from(tag) * 3000));
        new.updated_at = Timestamp(self.now);
        let updates = vec![new.clone(), new];
        both!(self, store => store.update_connections(updates.clone())).unwrap();
    }

    async fn metadata(&self, slot: u8, patch: serde_json::Map<String, serde_json::Value>) {
        let now = Timestamp(self.now);
        let (run, fence) = self.run(slot);
        let _ = both!(self, store => store.merge_metadata(run_id(run), fence, patch.clone(), 1000, now));
    }
}

fn line(index: u64, run: u64) -> LogLine {
    LogLine {
        index,
        at: Timestamp(index),
        level: Level::Info,
        source: LogSource::Plugin,
        message: format!("line {index} of {run} {}", "x".repeat(300)),
        fields: index
            .is_multiple_of(2)
            .then(|| serde_json::json!({ "n": index })),
    }
}

/// Do `steps` to a new pair, and compare everything. How many there are says which of the backends it is.
fn run<B: Backend>(backends: &[B], steps: &[Step]) {
    let backend = &backends[steps.len() % backends.len()];
    block_on(async {
        let mut pair = Pair::new(backend).await;
        // Without an endpoint nothing is told.
        let endpoint = HookStep::Add {
            endpoint: 0,
            filter: 0,
        };
        pair.step(&Step::Hook(endpoint)).await;
        // Almost every command needs a run.
        let start = Step::Start {
            slot: 0,
            target: 0,
            reset: false,
        };
        pair.step(&start).await;
        for step in steps {
            pair.step(step).await;
        }
        pair.check_all().await;
        pair.step(&Step::Reopen(Reopen::Drop)).await;
        pair.check_all().await;
    });
}

/// 48 cases of 60 steps on average; `PROPTEST_CASES=1000` plays more of them.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.map_or(48, |cases| cases.parse().unwrap())
}

/// Play random lists of `step` on these backends. `seeds` is a file with those of cases that failed once, which are played
/// first; new ones are added to it.
fn play<B: Backend>(
    backends: &[B],
    seeds: &'static str,
    step: impl Strategy<Value = Step>,
    most: usize,
) {
    let config = ProptestConfig {
        cases: cases(),
        max_shrink_iters: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    };
    let played = TestRunner::new(config).run(&vec(step, 1..most), |steps| {
        run(backends, &steps);
        Ok(())
    });
    if let Err(failed) = played {
        panic!("{failed}");
    }
}

/// Runs, records, snapshots, webhooks, keys, dropping and upkeep.
pub fn commands<B: Backend>(backends: &[B], seeds: &'static str) {
    play(backends, seeds, step(), 120);
}

/// Mostly schedules and jobs.
pub fn work_of_the_queue<B: Backend>(backends: &[B], seeds: &'static str) {
    play(backends, seeds, worker_step(), 160);
}

/// As many API keys as there may be, and one more.
pub fn most_api_keys<B: Backend>(backend: &B) {
    block_on(async { Pair::new(backend).await.fill_with_keys().await });
}

/// The job that tells of a new connection.
fn told(connection: &tidegate_engine::ConnectionKey, now: u64) -> NewJob {
    let target = JobTarget::Event {
        connection: connection.clone(),
        event: "connection-created".parse().unwrap(),
    };
    let now = Timestamp(now);
    let id = JobId::derived(now, &[connection.to_string().as_bytes()]);
    work::job(id, target, now)
}
