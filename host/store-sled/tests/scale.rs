//! Listing and one sync cost the same however many connections there are: bytes read and written are
//! counted by the kernel, beside a store with a fortieth of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test ends by panicking, helpers included"
)]

mod common;

use std::path::Path;

use tidegate_engine::record::Page;
use tidegate_engine::run::Target;
use tidegate_store_sled::{Options, SledStore};

use common::*;

const MODELS: usize = 20;
/// Few enough that the cache holds next to nothing of the larger store.
const CACHE_BYTES: u64 = 1 << 20;

/// Bytes that this process has read and written through system calls so far.
fn traffic() -> u64 {
    let figures = std::fs::read_to_string("/proc/self/io").unwrap();
    let of = |name: &str| -> u64 {
        let line = figures.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    of("rchar:") + of("wchar:")
}

fn open_small(root: &Path) -> SledStore {
    let options = Options {
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    };
    SledStore::open(root, options).unwrap()
}

fn customer(number: usize) -> String {
    format!("customer-{number:05}")
}

/// One run that changes a record of each of a connection's models.
async fn sync_all(store: &SledStore, number: usize, run: u64) {
    let target = Target::Sync(sync(&customer(number), "all"));
    let started = store.start_run(new_run(run, target)).await.unwrap();
    let body = format!(r#"{{"run":{run},"text":"{}"}}"#, "x".repeat(200));
    let pages: Vec<Page> = (0..MODELS)
        .map(|model| page(&format!("Model{model:02}"), &[("only", &body)], &[]))
        .collect();
    let (id, fence) = (run_id(run), started.fence);
    store
        .commit_page(id, fence, commit(pages, run))
        .await
        .unwrap();
    store.finish_run(id, fence, end(run)).await.unwrap();
}

/// Bytes per list of 20 connections, and per sync, in a store of so many connections.
async fn costs(connections: usize) -> (u64, u64) {
    const TIMES: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open_small(dir.path());
    set_up(&store).await;
    for number in 0..connections {
        let mut connection = new_connection(&customer(number));
        // Together more than the cache holds.
        let text = number.to_string().repeat(5000);
        connection.metadata.insert("text".into(), text.into());
        store.add_connection(connection).await.unwrap();
        sync_all(&store, number, 1 + number as u64).await;
    }
    store.close().await.unwrap();
    drop(store);

    let store = open_small(dir.path());
    let some = |time: u64| time as usize * 7919 % connections;
    let before = traffic();
    for time in 0..TIMES {
        let after = customer(some(time)).parse().unwrap();
        let listed = store
            .connections(&name("crm"), Some(&after), 20)
            .await
            .unwrap();
        assert!(listed.len() <= 20);
    }
    let listing = (traffic() - before) / TIMES;
    let before = traffic();
    for time in 0..TIMES {
        sync_all(&store, some(time), 100_000 + time).await;
    }
    let syncing = (traffic() - before) / TIMES;
    store.close().await.unwrap();
    (listing, syncing)
}

#[test]
fn the_rest_of_the_data_costs_nothing() {
    block_on(async {
        let few = costs(25).await;
        let many = costs(1000).await;
        println!("bytes per list and sync: {few:?} with 25 connections, {many:?} with 1000");
        // With few, all may be in the cache: a floor of what a page of the tree takes.
        let most = |few: u64| few.max(150 * 1024) * 4;
        assert!(many.0 <= most(few.0), "a list reads {many:?}, not {few:?}");
        assert!(many.1 <= most(few.1), "a sync moves {many:?}, not {few:?}");
    });
}
