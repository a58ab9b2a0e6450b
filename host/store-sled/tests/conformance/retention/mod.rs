//! Pruning, dropping and settling, case by case; and what only a store on disk can show: interrupted
//! purges, readers beside them, and space.

mod drop;
mod fires;
mod prune;
mod space;

use std::path::Path;

use tidegate_engine::cursor::{Cursor, CursorError};
use tidegate_engine::record::{Action, Counts, Page, Save};
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::{Changes, ModelStats, ReadChanges};
use tidegate_engine::upkeep::{Dropped, Pruned, Scope};
use tidegate_engine::{ModelKey, Store, StoreError, Timestamp};
use tidegate_store_memory::MemoryStore;
use tidegate_store_sled::SledStore;

use crate::common::*;

/// Run a test on each backend.
fn on_both(test: impl AsyncFn(&dyn Store)) {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stores: [Box<dyn Store>; 2] =
            [Box::new(MemoryStore::default()), Box::new(open(dir.path()))];
        for store in &stores {
            set_up(store.as_ref()).await;
            test(store.as_ref()).await;
        }
    });
}

/// A body of some 350 bytes that LZ4 can't make much shorter.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let text: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 58) as u8)
    })
    .filter(|c| *c != '"' && *c != '\\')
    .take(330)
    .collect();
    format!("{{\"seed\":{seed},\"text\":\"{text}\"}}")
}

/// Save `count` records in pages of 1,000, all at `now`.
async fn load(
    store: &dyn Store,
    (run, fence): (RunId, Fence),
    model: &str,
    count: u64,
    version: u64,
    now: u64,
) {
    for first in (0..count).step_by(1000) {
        let save = (first..count.min(first + 1000)).map(|number| Save {
            id: format!("id-{number:07}"),
            body: noise(number + version * 1_000_000),
            hash: None,
        });
        let page = Page {
            save: save.collect(),
            delete: vec![],
            ..Page::of(name(model))
        };
        let counts = store.commit_page(run, fence, commit(vec![page], now)).await;
        assert_eq!(counts.unwrap()[0].unchanged, 0);
    }
}

async fn next(
    store: &dyn Store,
    model: &ModelKey,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let read = ReadChanges {
        after,
        limit,
        ..read(model.clone())
    };
    store.read_changes(read).await
}

async fn stats(store: &dyn Store, connection_name: &str, model: &str) -> ModelStats {
    let models = store.models(&connection(connection_name)).await.unwrap();
    let found = models.into_iter().find(|(name, _)| name.as_str() == model);
    found.map(|(_, stats)| stats).unwrap_or_default()
}

/// How many keys of each kind are in a database that nobody has open.
fn keys(root: &Path) -> std::collections::BTreeMap<char, usize> {
    let db = sled_of(root);
    let mut keys = std::collections::BTreeMap::new();
    for item in db.iter() {
        *keys.entry(char::from(item.unwrap().0[0])).or_default() += 1;
    }
    keys
}
