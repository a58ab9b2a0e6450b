//! Imports: everything of one store brought into another, by both backends, whole or not at all.

mod moving;
mod refusals;

use std::path::Path;
use std::process::{Command, Stdio};

use tidegate_engine::Store;
use tidegate_engine::store::StoreError;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported};
use tidegate_store_memory::MemoryStore;
use tidegate_store_sled::SledStore;

use crate::common::*;
use moving::*;

const IMPORT: ImportId = ImportId(7);
/// Each backend into each.
#[test]
fn everything_arrives_as_it_was() {
    block_on(async {
        for (from_sled, to_sled) in [(false, false), (false, true), (true, false), (true, true)] {
            let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let backend = |sled: bool, dir: &Path| -> Box<dyn Store> {
                if sled {
                    Box::new(open(dir))
                } else {
                    Box::new(MemoryStore::new(3))
                }
            };
            let from = backend(from_sled, dirs[0].path());
            let to = backend(to_sled, dirs[1].path());
            fill(&*from).await;
            let parts = everything(&*from).await;
            to.put_component(b"1.0.0".to_vec()).await.unwrap();

            stage(&*to, &parts).await.unwrap();
            // Nothing of it is there yet.
            assert_eq!(to.integrations(None, 10).await.unwrap(), []);
            assert_eq!(to.stats().await.unwrap().models, 0);
            let imported = to.finish_import(IMPORT).await.unwrap();
            let want = Imported {
                integrations: 1,
                connections: 2,
                models: 2,
                records: 103,
                checkpoints: 1,
            };
            assert_eq!(imported, want);
            assert_eq!(to.finish_import(IMPORT).await.unwrap(), want);

            let crm = name("crm");
            assert_eq!(from.integration(&crm).await, to.integration(&crm).await);
            for connection_name in ["acme", "bolt"] {
                let key = connection(connection_name);
                assert_eq!(from.connection(&key).await, to.connection(&key).await);
                assert_eq!(from.checkpoints(&key).await, to.checkpoints(&key).await);
                expect_same(&*from, &*to, &key).await;
            }
            let (old, new) = (from.stats().await.unwrap(), to.stats().await.unwrap());
            assert_eq!(old.total.stats, new.total.stats);
            assert_eq!((old.connections, old.models), (new.connections, new.models));
            assert_eq!(new.runs, 0);
            assert_eq!(to.check().await.unwrap().findings, []);
            expect_unchanged(&*to).await;
            assert_eq!(to.check().await.unwrap().findings, []);
            to.close().await.unwrap();
            drop(to);
            if to_sled {
                let again = open(dirs[1].path());
                assert_eq!(again.check().await.unwrap().findings, []);
                assert_eq!(all(&again, &model("acme", "Contact")).await.len(), 101);
            }
        }
    });
}

#[test]
fn a_connection_or_a_model_alone() {
    block_on(async {
        let from = MemoryStore::new(3);
        fill(&from).await;
        let dir = tempfile::tempdir().unwrap();
        let sled = open(dir.path());
        for to in [&MemoryStore::new(4) as &dyn Store, &sled] {
            set_up(to).await;
            let contacts = model("acme", "Contact");
            let parts = records_of(&from, &contacts).await;
            // It may have been synced before, as long as nothing of it is there.
            let (id, fence) = start(to, 1).await;
            to.begin_snapshot(id, fence, &contacts.model, false)
                .await
                .unwrap();
            let busy = import(to, &parts).await.unwrap_err();
            assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
            to.finish_run(id, fence, end(2)).await.unwrap();
            let cursor = to.read_changes(read(contacts.clone())).await.unwrap().next;
            to.finish_import(IMPORT).await.unwrap();
            assert_eq!(all(to, &contacts).await.len(), 101);
            // A cursor of what was there before belongs to another feed, or to the start.
            let mut read = read(contacts.clone());
            read.after = Some(cursor);
            match to.read_changes(read).await {
                Ok(changes) => assert_eq!(changes.records.len(), 101),
                Err(error) => assert!(matches!(error, StoreError::Cursor(_)), "{error}"),
            }
            to.settle().await.unwrap();
            assert_eq!(to.check().await.unwrap().findings, []);
            expect_unchanged(to).await;

            // Under another name, as the caller likes.
            let mut other = connection_parts(&from, &connection("acme")).await;
            for part in &mut other {
                let cora = connection("cora");
                match part {
                    ImportPart::Connection(connection) => connection.key = cora,
                    ImportPart::Checkpoint { key, .. } => key.connection = cora,
                    ImportPart::Records { model, .. } => model.connection = cora,
                    ImportPart::Integration(_) => {}
                }
            }
            let id = ImportId(8);
            for (number, part) in other.into_iter().enumerate() {
                to.stage_import(id, number as u64, part).await.unwrap();
            }
            assert_eq!(to.finish_import(id).await.unwrap().records, 103);
            assert_eq!(
                all(to, &connection("cora").model(name("Contact")))
                    .await
                    .len(),
                101
            );
        }
    });
}

/// What came between staging and finishing is not written over.
#[test]
fn what_came_in_between_stays() {
    block_on(async {
        let from = MemoryStore::new(3);
        fill(&from).await;
        let dir = tempfile::tempdir().unwrap();
        let sled = open(dir.path());
        for to in [&MemoryStore::new(4) as &dyn Store, &sled] {
            let parts = everything(&from).await;
            to.put_component(b"1.0.0".to_vec()).await.unwrap();
            stage(to, &parts).await.unwrap();
            set_up(to).await;
            let error = to.finish_import(IMPORT).await.unwrap_err().to_string();
            assert!(
                error.contains("integration \"crm\" exists already"),
                "{error}"
            );
            to.abort_import(IMPORT).await.unwrap();
            assert_eq!(to.models(&connection("acme")).await.unwrap(), []);
        }
    });
}

/// The process of [`an_import_that_is_killed_leaves_nothing`] that is killed.
async fn stage_and_wait(root: &Path) {
    let from = MemoryStore::new(3);
    fill(&from).await;
    let store = open(root);
    stage(&store, &everything(&from).await[1..]).await.unwrap();
    println!("staged");
    std::future::pending::<()>().await;
}

#[test]
fn an_import_that_is_killed_leaves_nothing() {
    use std::io::BufRead;
    if let Ok(dir) = std::env::var("TIDEGATE_TEST_DIR") {
        return block_on(stage_and_wait(dir.as_ref()));
    }
    let dir = tempfile::tempdir().unwrap();
    let acme = connection("acme");
    block_on(async {
        let store = open(dir.path());
        let deployment = deployment(&store, "1.0.0", 5).await;
        store.deploy(deployment).await.unwrap();
        store.close().await.unwrap();
    });
    let keys = |root: &Path| {
        let path = root.join("db");
        let keys = sled_of(root).len();
        // Wait until sled's own threads have let go of the file.
        std::fs::File::open(path.join("db"))
            .unwrap()
            .lock()
            .unwrap();
        keys
    };
    let before = keys(dir.path());

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "transfer::an_import_that_is_killed_leaves_nothing",
            "--exact",
            "--nocapture",
        ])
        .env("TIDEGATE_TEST_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(out.lines().any(|line| line.unwrap().contains("staged")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(keys(dir.path()) > before + 20, "something was staged");

    block_on(async {
        let store = open(dir.path());
        store.settle().await.unwrap();
        let report = store.check().await.unwrap();
        assert_eq!((report.findings, report.notes), (vec![], vec![]));
        assert!(store.connection(&acme).await.is_err());
        // It can be repeated.
        let from = MemoryStore::new(3);
        fill(&from).await;
        let parts = everything(&from).await;
        stage(&store, &parts[1..]).await.unwrap();
        store.abort_import(IMPORT).await.unwrap();
        store.settle().await.unwrap();
        store.close().await.unwrap();
        drop(store);
        // Counters, and nothing else.
        assert_eq!(keys(dir.path()), before + 1);
        let store: SledStore = open(dir.path());
        import(&store, &parts[1..]).await.unwrap();
        expect_same(&from, &store, &acme).await;
        assert_eq!(store.check().await.unwrap().findings, []);
    });
}
