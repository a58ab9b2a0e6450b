//! A store with something to move, and moving it by the trait alone.

use std::sync::Arc;

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::record::{Action, Record};
use tidegate_engine::store::StoreError;
use tidegate_engine::transfer::{ImportPart, Imported, ImportedRecord};
use tidegate_engine::{ConnectionKey, ModelKey, Store, Timestamp};

use super::IMPORT;
use crate::common::*;

/// Records of one part.
const PART: usize = 30;

/// Two connections, two models of one of them; updates, deletions, pruned and long bodies.
pub async fn fill(store: &dyn Store) {
    set_up(store).await;
    let (id, fence) = start(store, 1).await;
    let save = |first: u64, count: u64, round: u64| -> Vec<(String, String)> {
        let body = |n: u64| {
            format!(
                r#"{{ "n": {n}, "round": {round}, "text": "{}" }}"#,
                "é\\n".repeat(40)
            )
        };
        (first..first + count)
            .map(|n| (format!("id-{n:03}"), body(n)))
            .collect()
    };
    for (first, count, round) in [(0, 100, 0), (10, 30, 1), (0, 10, 2)] {
        let saved = save(first, count, round);
        let saved: Vec<(&str, &str)> = saved
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let mut commit = commit(
            vec![page("Contact", &saved, &["id-050", "id-011"])],
            100 + round,
        );
        commit.checkpoint = Some(format!("{{\"round\":\n{round}}}"));
        store.commit_page(id, fence, commit).await.unwrap();
    }
    let long = format!(
        r#"{{"long": "{}"}}"#,
        (0..9000).map(|n| format!("{n} ")).collect::<String>()
    );
    let pages = vec![
        page("Contact", &[("long", &long)], &["id-020", "id-090"]),
        page("Deal", &[("d-1", "{}"), ("d-2", r#"{"a": 1}"#)], &[]),
    ];
    store
        .commit_page(id, fence, commit(pages, 200))
        .await
        .unwrap();
    store
        .prune(&model("acme", "Contact"), Timestamp(101))
        .await
        .unwrap();
    store.finish_run(id, fence, end(400)).await.unwrap();
}

/// All records of a model in the order of the feed.
pub async fn all(store: &dyn Store, model: &ModelKey) -> Vec<Record> {
    let mut after = None;
    let mut records = Vec::new();
    loop {
        let mut read = read(model.clone());
        (read.after, read.limit) = (after, 17);
        let changes = store.read_changes(read).await.unwrap();
        records.extend(changes.records);
        after = Some(changes.next);
        if !changes.more {
            return records;
        }
    }
}

pub async fn hashes(
    store: &dyn Store,
    model: &ModelKey,
    records: &[Record],
) -> Vec<(BodyHash, u64)> {
    let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    let hashes = store.hashes(model, &ids).await.unwrap();
    hashes.into_iter().map(Option::unwrap).collect()
}

pub async fn records_of(store: &dyn Store, model: &ModelKey) -> Vec<ImportPart> {
    let records = all(store, model).await;
    let hashes = hashes(store, model, &records).await;
    let imported: Vec<ImportedRecord> = records
        .into_iter()
        .zip(hashes)
        .map(|(record, (hash, body_len))| ImportedRecord {
            id: record.id,
            body: record.body,
            hash,
            body_len,
            action: record.action,
            first_seen_at: record.first_seen_at,
            last_modified_at: record.last_modified_at,
        })
        .collect();
    let parts = imported.chunks(PART);
    parts
        .map(|records| ImportPart::Records {
            model: model.clone(),
            records: records.to_vec(),
        })
        .collect()
}

pub async fn connection_parts(store: &dyn Store, key: &ConnectionKey) -> Vec<ImportPart> {
    let mut parts = vec![ImportPart::Connection(Box::new(
        store.connection(key).await.unwrap(),
    ))];
    for (key, checkpoint) in store.checkpoints(key).await.unwrap() {
        parts.push(ImportPart::Checkpoint { key, checkpoint });
    }
    for (model, _) in store.models(key).await.unwrap() {
        parts.extend(records_of(store, &key.model(model)).await);
    }
    parts
}

pub async fn everything(store: &dyn Store) -> Vec<ImportPart> {
    let mut parts = vec![ImportPart::Integration(Box::new(Arc::unwrap_or_clone(
        store.integration(&name("crm")).await.unwrap(),
    )))];
    for connection_name in ["acme", "bolt"] {
        parts.extend(connection_parts(store, &connection(connection_name)).await);
    }
    parts
}

pub async fn stage(store: &dyn Store, parts: &[ImportPart]) -> Result<(), StoreError> {
    for (number, part) in parts.iter().enumerate() {
        // Each twice, as when an answer is lost.
        for _ in 0..2 {
            store
                .stage_import(IMPORT, number as u64, part.clone())
                .await?;
        }
    }
    Ok(())
}

pub async fn import(store: &dyn Store, parts: &[ImportPart]) -> Result<Imported, StoreError> {
    stage(store, parts).await?;
    let imported = store.finish_import(IMPORT).await?;
    assert_eq!(store.finish_import(IMPORT).await?, imported);
    Ok(imported)
}

pub async fn expect_same(from: &dyn Store, to: &dyn Store, key: &ConnectionKey) {
    assert_eq!(
        from.models(key).await.unwrap(),
        to.models(key).await.unwrap()
    );
    for (model, _) in from.models(key).await.unwrap() {
        let model = key.model(model);
        let (old, new) = (all(from, &model).await, all(to, &model).await);
        assert_eq!(
            hashes(from, &model, &old).await,
            hashes(to, &model, &new).await
        );
        let sequences: Vec<u64> = new.iter().map(|record| record.seq).collect();
        assert_eq!(sequences, (1..=new.len() as u64).collect::<Vec<_>>());
        let without_seq = |records: Vec<Record>| -> Vec<Record> {
            records
                .into_iter()
                .map(|record| Record { seq: 0, ..record })
                .collect()
        };
        assert_eq!(without_seq(old), without_seq(new));
    }
}

/// What a later pull of the same records finds.
pub async fn expect_unchanged(store: &dyn Store) {
    let contacts = model("acme", "Contact");
    let records = all(store, &contacts).await;
    let (id, fence) = start(store, 900).await;
    let kept: Vec<(&str, &str)> = records
        .iter()
        .filter(|record| record.action != Action::Deleted)
        .filter_map(|record| Some((record.id.as_str(), record.body.as_deref()?)))
        .collect();
    let pages = vec![page("Contact", &kept, &[])];
    let counts = store
        .commit_page(id, fence, commit(pages, 901))
        .await
        .unwrap();
    assert_eq!(
        (counts[0].unchanged, counts[0].total()),
        (kept.len() as u64, kept.len() as u64)
    );
    // One whose body is gone is told by its hash, and a deleted one comes back.
    let body = |n: u64| {
        format!(
            r#"{{"text": "{}", "round": 0, "n": {n}}}"#,
            "é\\n".repeat(40)
        )
    };
    let (pruned, gone) = (body(70), body(90));
    let page = page("Contact", &[("id-070", &pruned), ("id-090", &gone)], &[]);
    let counts = store
        .commit_page(id, fence, commit(vec![page], 902))
        .await
        .unwrap();
    assert_eq!((counts[0].unchanged, counts[0].added), (1, 1));
    store.finish_run(id, fence, end(903)).await.unwrap();
}
