//! How long another command waits while something long goes on at a large model: nothing may hold the one writer
//! for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate_engine::Timestamp;
use tidegate_engine::run::{Figures, RunId};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Commit, Durability, EndSnapshot, Proof, SnapshotGuard};
use tidegate_engine::upkeep::Scope;
use tidegate_store_sled::SledStore;

use crate::{Bench, Failure, common};

/// Print the longest and the median wait, in milliseconds, beside each kind of long work at `records` records.
pub(crate) async fn measure(records: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::new(dir.path(), records).await?;
    let probe = Probe::new(&bench.store).await?;
    let model = bench.connection.model(bench.model.clone());
    bench.pull(0..records, 0).await?;

    let checked = probe
        .beside(async { bench.store.check().await.map(drop) })
        .await?;
    bench
        .store
        .begin_snapshot(bench.run, bench.fence, &bench.model, false)
        .await?;
    let end = EndSnapshot {
        proof: Proof::OneAnswer,
        guard: SnapshotGuard {
            allow_all: true,
            ..SnapshotGuard::default()
        },
        checkpoint: None,
        now: Timestamp(2),
    };
    let ended = probe
        .beside(async {
            let end = bench
                .store
                .end_snapshot(bench.run, bench.fence, &bench.model, end);
            let ended = end.await?;
            assert_eq!(ended.deleted, records as u64);
            Ok(())
        })
        .await?;
    bench.pull(0..records, 1).await?;
    let far = Timestamp(u64::MAX / 2);
    let pruned = probe
        .beside(async { bench.store.prune(&model, far).await.map(drop) })
        .await?;
    let end = tidegate_engine::run::RunEnd {
        at: Timestamp(3),
        outcome: tidegate_engine::run::Outcome::Success,
        failure: None,
        figures: Figures::default(),
    };
    bench.store.finish_run(bench.run, bench.fence, end).await?;
    let scope = Scope::Model(model);
    let dropped = probe
        .beside(async { bench.store.drop_scope(&scope).await.map(drop) })
        .await?;

    let line = serde_json::json!({
        "records": records,
        "other_commands_wait_ms": {
            "check": checked, "end_of_a_snapshot_that_saw_none": ended, "prune": pruned, "drop": dropped,
        },
    });
    println!("{line}");
    Ok(())
}

/// Sends small commands of another connection, one after the other.
struct Probe {
    store: Arc<SledStore>,
    run: RunId,
    fence: tidegate_engine::run::Fence,
}

impl Probe {
    async fn new(store: &Arc<SledStore>) -> Result<Self, Failure> {
        let connection = common::key("other");
        common::connect(&**store, connection.clone()).await;
        let run = RunId::from_parts(Timestamp(1), 2);
        let new = crate::new_run(connection, run);
        let fence = store.start_run(new).await?.fence;
        Ok(Probe {
            store: Arc::clone(store),
            run,
            fence,
        })
    }

    /// What commands take while `work` goes on.
    async fn beside(
        &self,
        work: impl Future<Output = Result<(), tidegate_engine::StoreError>>,
    ) -> Result<serde_json::Value, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, store, run, fence) = (
            Arc::clone(&is_over),
            Arc::clone(&self.store),
            self.run,
            self.fence,
        );
        let waits = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async {
                let mut waits = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let commit = Commit {
                        checkpoint: Some(waits.len().to_string()),
                        durability: Durability::Relaxed,
                        now: Timestamp(2),
                        ..Commit::default()
                    };
                    let before = Instant::now();
                    let done = store.commit_page(run, fence, commit).await;
                    waits.push(before.elapsed());
                    done.expect("a commit");
                }
                waits
            })
        });
        let before = Instant::now();
        let done = work.await;
        let took = before.elapsed();
        is_over.store(true, Ordering::Relaxed);
        let mut waits = waits.join().expect("the probe ends");
        done?;
        waits.sort_unstable();
        let ms = |wait: Option<&Duration>| {
            let ms = wait.map_or(f64::NAN, Duration::as_secs_f64) * 1e3;
            (ms * 100.0).round() / 100.0
        };
        Ok(serde_json::json!({
            "longest": ms(waits.last()), "median": ms(waits.get(waits.len() / 2)), "of": waits.len(),
            "work_took": ms(Some(&took)),
        }))
    }
}
