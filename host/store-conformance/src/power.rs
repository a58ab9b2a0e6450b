//! A power cut takes back nothing that was acknowledged, and half of nothing.

use std::time::{Duration, Instant};

use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::{Blame, Failure, FailureClass, Fence, Outcome, RunId, Target};
use tidegate_engine::store::Durability;
use tidegate_engine::{Store, StoreError, Timestamp};

use crate::Backend;
use crate::fixtures::*;

/// Records that commits write, a few of them each.
const IDS: u64 = 10;

/// What commit `number` writes; large ones go around the log.
fn page_of(number: u64, is_large: bool) -> Page {
    let mut noise = number + 1;
    let mut text = |length: usize| -> String {
        let chars = std::iter::repeat_with(|| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (noise >> 58) as u8 % 26)
        });
        chars.take(length).collect()
    };
    let length = if is_large { 40_000 } else { 100 };
    let save = (number..number + 3).map(|n| Save {
        id: format!("id-{}", n % IDS),
        body: format!("{{\"commit\":{number},\"text\":\"{}\"}}", text(length)),
        hash: None,
    });
    Page {
        save: save.collect(),
        delete: vec![],
        ..Page::of(name("Contact"))
    }
}

pub async fn write(store: &dyn Store, run: (RunId, Fence), number: u64, is_large: bool) {
    let mut commit = commit(vec![page_of(number, is_large)], number);
    commit.checkpoint = Some(number.to_string());
    store.commit_page(run.0, run.1, commit).await.unwrap();
}

/// The number of the last commit in the store, in which everything must be as of that one.
pub async fn last_commit(store: &dyn Store) -> u64 {
    let checkpoint = store.checkpoint(&sync("acme", "contacts")).await.unwrap();
    let last: u64 = checkpoint.map_or(0, |text| text.parse().unwrap());
    let ids: Vec<String> = (0..IDS).map(|n| format!("id-{n}")).collect();
    let contact = model("acme", "Contact");
    let found = store.records(&contact, &ids).await.unwrap();
    for (n, record) in (0..IDS).zip(found) {
        let written = (1..=last)
            .rev()
            .find(|c| (c % IDS + IDS..).take(3).any(|id| id % IDS == n));
        let commit = record.map(|record| {
            let body: serde_json::Value = serde_json::from_str(&record.body.unwrap()).unwrap();
            body["commit"].as_u64().unwrap()
        });
        assert_eq!(commit, written, "id-{n} after commit {last}");
    }
    assert_eq!(store.check().await.unwrap().findings, []);
    last
}

/// A place with a store that something is deployed in.
fn prepared<B: Backend>(backend: &B) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let store = backend.open(place.path());
    block_on(async {
        set_up(&store).await;
        store.close().await.unwrap();
    });
    place
}

/// Each commit is there after a power cut that follows its answer, and the store goes on from there. Each 13th is a large one.
pub fn acknowledged_is_on_disk<B: Backend>(backend: &B) {
    let place = prepared(backend);
    let store = backend.open(place.path());
    drop(backend.without_power(place.path()));
    block_on(async {
        let run = start(&store, 1).await;
        drop(backend.without_power(place.path()));
        for number in 1..=60 {
            write(&store, run, number, number % 13 == 0).await;
            let left = backend.without_power(place.path());
            let again = backend.open(left.path());
            assert_eq!(last_commit(&again).await, number);
            // It goes on from there, and the next opening finds that, too.
            write(&again, run, number + 1, false).await;
            let killed = backend.killed(left.path());
            drop(again);
            for place in [left, killed] {
                let again = backend.open(place.path());
                assert_eq!(last_commit(&again).await, number + 1);
            }
        }
    });
}

/// A relaxed commit is there after a while, without another command.
pub fn what_is_relaxed_reaches_the_disk_by_itself<B: Backend>(backend: &B) {
    let place = prepared(backend);
    let store = backend.open(place.path());
    drop(backend.without_power(place.path()));
    block_on(async {
        let run = start(&store, 1).await;
        let mut commit = commit(vec![page_of(1, false)], 1);
        commit.checkpoint = Some("1".into());
        commit.durability = Durability::Relaxed;
        store.commit_page(run.0, run.1, commit).await.unwrap();
    });
    let begun = Instant::now();
    loop {
        let left = backend.without_power(place.path());
        if block_on(last_commit(&backend.open(left.path()))) == 1 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not");
    }
}

/// What is known of an action's run after a power cut now.
async fn run_after_a_cut(store: &dyn Store, number: u64) -> Option<Option<Outcome>> {
    let found = store.run(run_id(number)).await.ok()?;
    let Some(end) = found.end else {
        let why = Failure::new(FailureClass::Internal, Blame::Host, "the process ended");
        let recovered = store.recover_runs(why, Timestamp(99)).await.unwrap();
        assert_eq!(recovered, [run_id(number)]);
        let late = store
            .finish_run(run_id(number), found.fence, end(99))
            .await
            .map(drop);
        let id = run_id(number);
        assert_eq!(late, Err(StoreError::Fenced { run: id }));
        return Some(None);
    };
    Some(Some(end.outcome))
}

/// An early start is there once it says so, and an early end by itself.
pub fn early_answers<B: Backend>(backend: &B) {
    let place = prepared(backend);
    let store = backend.open(place.path());
    drop(backend.without_power(place.path()));
    let after_a_cut = async |number| {
        let left = backend.without_power(place.path());
        run_after_a_cut(&backend.open(left.path()), number).await
    };
    block_on(async {
        for number in 1..=20 {
            let target = Target::Action {
                connection: connection("acme"),
                action: name("create"),
            };
            let new = new_run(number, target);
            let (started, stored) = store.start_run_early(new).await.unwrap();
            stored.wait().await.unwrap();
            let found = after_a_cut(number).await;
            assert_eq!(found, Some(None), "run {number} after its start");

            let id = run_id(number);
            let ended = store.finish_run_early(id, started.fence, end(number)).await;
            ended.unwrap();
            let begun = Instant::now();
            loop {
                match after_a_cut(number).await.unwrap() {
                    None => assert!(begun.elapsed() < Duration::from_secs(30), "it does not"),
                    outcome => break assert_eq!(outcome, Some(Outcome::Success)),
                }
            }
        }
    });
}
