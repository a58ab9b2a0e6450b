//! What the child does until it is killed. Each line it prints is true when it is printed.

use std::fmt::Write as _;
use std::io::Write;

use tidegate_engine::StoreError;
use tidegate_engine::cursor::CursorError;
use tidegate_engine::record::{Action, Page, Save};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, RunId, Target};
use tidegate_engine::store::{Commit, Durability, EndSnapshot, Proof, ReadChanges, SnapshotGuard};
use tidegate_engine::upkeep::Scope;
use tokio::sync::Notify;

use super::*;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line} .").unwrap();
    out.flush().unwrap();
}

fn page_of(number: u64) -> Page {
    let save = ids_of(number).map(|n| Save {
        id: id(n),
        body: body(n, number),
        hash: None,
    });
    Page {
        save: save.collect(),
        delete: vec![],
        ..Page::of(name("Contact"))
    }
}

pub(crate) async fn live(store: &dyn Store) {
    say("phase commit");
    let why = Failure::new(FailureClass::Internal, Blame::Host, "killed");
    store.recover_runs(why, Timestamp(1)).await.unwrap();
    let changed = Notify::new();
    tokio::join!(follow(store, &changed), write(store, &changed));
}

/// Follow the feed from where the consumer stands.
async fn follow(store: &dyn Store, changed: &Notify) {
    let mut after = std::env::var("TIDEGATE_CRASH_CURSOR").unwrap().parse().ok();
    loop {
        let read = ReadChanges {
            after,
            limit: 17,
            ..read(model("acme", "Contact"))
        };
        let changes = match store.read_changes(read).await {
            Ok(changes) => changes,
            Err(StoreError::Cursor(CursorError::Expired)) => {
                say("expired");
                after = None;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let mut line = format!("read {}", changes.next);
        for record in &changes.records {
            let (modified, action) = (record.last_modified_at.0, record.action.as_str());
            let has_body = record.body.is_some();
            write!(
                line,
                " {}={}:{modified}:{action}:{has_body}",
                record.id, record.seq
            )
            .unwrap();
        }
        after = Some(changes.next);
        say(&line);
        if !changes.more {
            changed.notified().await;
        }
    }
}

async fn write(store: &dyn Store, changed: &Notify) {
    let mut number = stored_commit(store).await;
    let (run, fence) = begin(store, "acme").await;
    let mut generation = number_from("TIDEGATE_CRASH_GENERATION", 0);
    let mut random = Random(generation + number);
    loop {
        if number > 0 && number.is_multiple_of(SNAPSHOT_EVERY) {
            say("phase snapshot");
            number = snapshot(store, run, fence, number).await;
            say(&format!("acked {number}"));
        }
        match random.next(7) {
            0 | 3 => {
                say("phase prune");
                let before = number.saturating_sub(random.next(6));
                say(&format!("prune {before}"));
                let contact = model("acme", "Contact");
                store.prune(&contact, Timestamp(before)).await.unwrap();
                say(&format!("pruned {before}"));
            }
            1 => {
                say("phase drop");
                generation += 1;
                drop_and_fill(store, generation).await;
            }
            2 | 4 | 5 => {
                say("phase settle");
                store.settle().await.unwrap();
            }
            _ => {}
        }
        say("phase commit");
        number += 1;
        let mut commit: Commit = commit(vec![page_of(number)], number);
        commit.checkpoint = Some(number.to_string());
        if number.is_multiple_of(2) {
            commit.durability = Durability::Relaxed;
        }
        let durability = commit.durability;
        store.commit_page(run, fence, commit).await.unwrap();
        if durability == Durability::Durable {
            say(&format!("acked {number}"));
        }
        changed.notify_one();
    }
}

async fn begin(store: &dyn Store, connection_name: &str) -> (RunId, Fence) {
    // Ids of runs may not repeat over restarts.
    let nanos = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos();
    let mut run = new_run(1, Target::Sync(sync(connection_name, "contacts")));
    run.id = RunId::from_parts(Timestamp(2), nanos);
    (run.id, store.start_run(run).await.unwrap().fence)
}

/// Take a snapshot that sees the first ids only. Its end is a commit of its own.
async fn snapshot(store: &dyn Store, run: RunId, fence: Fence, number: u64) -> u64 {
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
    let seen = (0..IDS).zip(found).filter_map(|(n, record)| {
        let record = record.filter(|record| record.action != Action::Deleted)?;
        // Its body may have been pruned; it still is the same.
        let body = body(n, record.last_modified_at.0);
        Some(Save {
            id: id(n),
            body,
            hash: None,
        })
    });
    let page = Page {
        save: seen.take(SNAPSHOT_SEES).collect(),
        delete: vec![],
        ..Page::of(contact.clone())
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
        .end_snapshot(
            run,
            fence,
            &contact,
            EndSnapshot {
                proof: Proof::OneAnswer,
                guard,
                checkpoint,
                now: Timestamp(number),
            },
        )
        .await
        .unwrap();
    number
}

/// Drop the model or the connection that the generation before filled, and fill it again.
async fn drop_and_fill(store: &dyn Store, generation: u64) {
    say("drop");
    let scope = if generation.is_multiple_of(2) {
        Scope::Model(model("bolt", "Contact"))
    } else {
        Scope::Connection(connection("bolt"))
    };
    match store.drop_scope(&scope).await {
        Ok(_) | Err(StoreError::NotFound { .. }) => say("dropped"),
        Err(error) => panic!("{error}"),
    }
    store.add_connection(new_connection("bolt")).await.unwrap();
    let (run, fence) = begin(store, "bolt").await;
    let save = (0..FILLED).map(|n| Save {
        id: id(n),
        body: format!(
            "{{\"generation\":{generation},\"pad\":\"{}\"}}",
            "y".repeat(300)
        ),
        hash: None,
    });
    let page = Page {
        save: save.collect(),
        delete: vec![],
        ..Page::of(name("Contact"))
    };
    say(&format!("fill {generation}"));
    store
        .commit_page(run, fence, commit(vec![page], generation))
        .await
        .unwrap();
    say(&format!("filled {generation}"));
    let end = end(generation);
    store.finish_run(run, fence, end).await.unwrap();
}
