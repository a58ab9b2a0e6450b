//! Many connections of many models: opening, listing and one sync must not slow down with the rest.

use std::path::Path;
use std::time::Instant;

use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::{Figures, Outcome, RunEnd, RunId};
use tidegate_engine::store::parts::*;
use tidegate_engine::store::{Commit, Durability};
use tidegate_engine::{ConnectionKey, Timestamp};
use tidegate_store_sled::SledStore;

use crate::common::{self, cpu};
use crate::{Failure, disk, options, rss};

const MODELS: usize = 20;
/// Connections that are filled at the same time, sharing flushes.
const AT_ONCE: usize = 64;
/// Repetitions of what is measured.
const TIMES: usize = 200;

/// Fill a store and print what single commands cost in it, in microseconds of CPU.
pub(crate) async fn measure(connections: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (cpu_before, filled) = (cpu(), fill(dir.path(), connections).await?);
    let fill_cpu = cpu() - cpu_before;
    filled.close().await?;
    drop(filled);

    let (cpu_before, wall_before) = (cpu(), Instant::now());
    let store = SledStore::open(dir.path(), options())?;
    let open = (cpu() - cpu_before, wall_before.elapsed().as_secs_f64());

    let integration = common::integration();
    let before = cpu();
    for n in 0..TIMES {
        let after = name(n * 7919 % connections).parse()?;
        store.connections(&integration, Some(&after), 100).await?;
    }
    let list = (cpu() - before) * 1e6 / TIMES as f64;

    let before = cpu();
    for n in 0..TIMES {
        sync(&store, n * 7919 % connections, connections + n, 1).await?;
    }
    let sync = (cpu() - before) * 1e6 / TIMES as f64;

    let round = |number: f64| (number * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "connections": connections, "models_each": MODELS,
        "fill_cpu_us_per_connection": (fill_cpu * 1e6 / connections as f64).round(),
        "open_s": { "cpu": round(open.0), "wall": round(open.1) },
        "list_100_connections_cpu_us": list.round(),
        "one_sync_of_20_models_cpu_us": sync.round(),
        "disk_mb": disk(dir.path())?.round(),
        "rss_mb": rss().round(),
    });
    println!("{line}");
    Ok(())
}

fn name(number: usize) -> String {
    format!("customer-{number:06}")
}

fn key(number: usize) -> ConnectionKey {
    common::key(&name(number))
}

async fn fill(root: &Path, connections: usize) -> Result<SledStore, Failure> {
    let store = SledStore::open(root, options())?;
    common::deploy(&store).await;
    let numbers: Vec<usize> = (0..connections).collect();
    for some in numbers.chunks(AT_ONCE) {
        let all = some.iter().map(|number| add(&store, *number));
        for added in futures::future::join_all(all).await {
            added?;
        }
    }
    Ok(store)
}

async fn add(store: &SledStore, number: usize) -> Result<(), Failure> {
    common::connect(store, key(number)).await;
    sync(store, number, number, 0).await
}

/// One run that changes a record of each model.
async fn sync(store: &SledStore, number: usize, run: usize, version: usize) -> Result<(), Failure> {
    let id = RunId::from_parts(Timestamp(1 + run as u64), run as u128);
    let new = crate::new_run(key(number), id);
    let fence = store.start_run(new).await?.fence;
    let page = |model: usize| -> Result<Page, Failure> {
        Ok(Page {
            save: vec![Save {
                id: "only".into(),
                body: crate::body(model, version + run),
                hash: None,
            }],
            delete: Vec::new(),
            ..Page::of(format!("Model{model:02}").parse()?)
        })
    };
    let commit = Commit {
        pages: (0..MODELS).map(page).collect::<Result<_, _>>()?,
        checkpoint: Some("1".into()),
        durability: Durability::Durable,
        progress: Figures::default(),
        now: Timestamp(2),
    };
    store.commit_page(id, fence, commit).await?;
    let end = RunEnd {
        at: Timestamp(3),
        outcome: Outcome::Success,
        failure: None,
        figures: Figures::default(),
    };
    store.finish_run(id, fence, end).await?;
    Ok(())
}
