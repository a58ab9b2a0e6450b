//! What an import may not bring.

use tidegate_engine::canonical::{self, BodyHash};
use tidegate_engine::integration::Digest;
use tidegate_engine::record::Action;
use tidegate_engine::store::StoreError;
use tidegate_engine::transfer::{ImportId, ImportPart, ImportedRecord};
use tidegate_engine::{Store, Timestamp};
use tidegate_store_memory::MemoryStore;

use super::IMPORT;
use super::moving::{connection_parts, everything, fill};
use crate::common::*;

fn record(id: &str, body: &str) -> ImportedRecord {
    ImportedRecord {
        id: id.into(),
        body: Some(body.into()),
        hash: canonical::hash(body).unwrap(),
        body_len: body.len() as u64,
        action: Action::Added,
        first_seen_at: Timestamp(1),
        last_modified_at: Timestamp(2),
    }
}

fn contacts(records: Vec<ImportedRecord>) -> Vec<ImportPart> {
    vec![ImportPart::Records {
        model: model("acme", "Contact"),
        records,
    }]
}

/// What an import may not bring, and what is said about it.
#[test]
fn what_does_not_fit_is_refused() {
    block_on(async {
        let from = MemoryStore::new(3);
        fill(&from).await;
        let whole = everything(&from).await;
        let connection_alone = connection_parts(&from, &connection("acme")).await;
        let deal = ImportPart::Records {
            model: model("acme", "Deal"),
            records: vec![record("a", "{}")],
        };
        let good = record("a", "{}");
        let other_hash = ImportedRecord {
            hash: BodyHash::from_bytes([1; 16]),
            ..good.clone()
        };
        let other_len = ImportedRecord {
            body_len: 3,
            ..good.clone()
        };
        let no_json = ImportedRecord {
            body: Some("{]".into()),
            ..good.clone()
        };
        let mut other_component = whole[0].clone();
        if let ImportPart::Integration(integration) = &mut other_component {
            integration.name = name("erp");
            integration.current.digest = Digest::of(b"unknown");
        }
        let twice = contacts(vec![
            record("b", "{}"),
            record("a", "{}"),
            record("b", "{}"),
        ]);
        let again = [contacts(vec![good.clone()]), contacts(vec![good.clone()])].concat();
        let mut no_checkpoint = connection_alone[1].clone();
        if let ImportPart::Checkpoint { checkpoint, .. } = &mut no_checkpoint {
            *checkpoint = "{".into();
        }
        let mut new = connection_alone[0].clone();
        let mut stray = new.clone();
        if let (ImportPart::Connection(new), ImportPart::Connection(stray)) = (&mut new, &mut stray)
        {
            new.key = connection("cora");
            stray.key.integration = name("erp");
        }
        let of_cora = |part: &ImportPart| match part.clone() {
            ImportPart::Checkpoint {
                mut key,
                checkpoint,
            } => {
                key.connection = connection("cora");
                ImportPart::Checkpoint { key, checkpoint }
            }
            other => other,
        };
        let rows: Vec<(&str, Vec<ImportPart>, &str)> = vec![
            (
                "an integration that is there",
                whole.clone(),
                "integration \"crm\" exists already",
            ),
            (
                "a connection that is there",
                connection_alone.clone(),
                "connection \"crm/acme\" exists already",
            ),
            (
                "a connection that comes twice",
                vec![new.clone(), new.clone()],
                "connection \"crm/cora\" exists already",
            ),
            (
                "a connection of nothing",
                vec![stray],
                "no integration \"erp\"",
            ),
            (
                "a component that is not there",
                vec![other_component],
                "no component",
            ),
            (
                "a model that has records",
                vec![deal],
                "model \"crm/acme/Deal\" exists already",
            ),
            (
                "a record that comes twice in a part",
                twice,
                "record \"b of crm/acme/Contact\" exists already",
            ),
            (
                "a record that comes twice",
                again,
                "record \"a of crm/acme/Contact\" exists already",
            ),
            (
                "another hash",
                contacts(vec![other_hash]),
                "record \"a\" of model Contact: its body does not have the hash",
            ),
            (
                "another length",
                contacts(vec![other_len]),
                "record \"a\" of model Contact: its body has 2 bytes",
            ),
            (
                "no JSON",
                contacts(vec![no_json]),
                "record \"a\" of model Contact: its body is no record's",
            ),
            ("an empty id", contacts(vec![record("", "{}")]), "empty id"),
            (
                "a long id",
                contacts(vec![record(&"x".repeat(600), "{}")]),
                "record_id_bytes",
            ),
            (
                "a control character",
                contacts(vec![record("a\nb", "{}")]),
                "control character",
            ),
            (
                "a checkpoint of a connection that was there",
                vec![connection_alone[1].clone()],
                "no connection \"crm/acme\"",
            ),
            (
                "a checkpoint that is no JSON",
                vec![new.clone(), of_cora(&no_checkpoint)],
                "the checkpoint is not JSON",
            ),
        ];
        let dir = tempfile::tempdir().unwrap();
        let sled = open(dir.path());
        for to in [&MemoryStore::new(4) as &dyn Store, &sled] {
            set_up(to).await;
            let (id, fence) = start(to, 1).await;
            let deals = commit(vec![page("Deal", &[("d", "{}")], &[])], 2);
            to.commit_page(id, fence, deals).await.unwrap();
            to.finish_run(id, fence, end(3)).await.unwrap();
            for (what, parts, says) in &rows {
                let refused = {
                    let mut staged = Ok(());
                    for (number, part) in parts.iter().enumerate() {
                        staged = to.stage_import(IMPORT, number as u64, part.clone()).await;
                        if staged.is_err() {
                            break;
                        }
                    }
                    staged
                };
                let error = refused.expect_err(what).to_string();
                assert!(error.contains(says), "{what}: {error}");
                to.abort_import(IMPORT).await.unwrap();
            }
            to.settle().await.unwrap();
            assert_eq!(to.models(&connection("acme")).await.unwrap().len(), 1);
            assert_eq!(
                to.connections(&name("crm"), None, 9).await.unwrap().len(),
                2
            );
            let report = to.check().await.unwrap();
            assert_eq!((report.findings, report.notes), (vec![], vec![]));

            // Out of order, or never begun.
            let gap = to
                .stage_import(ImportId(20), 1, new.clone())
                .await
                .unwrap_err();
            assert!(matches!(gap, StoreError::NotFound { .. }), "{gap}");
            let none = to.finish_import(ImportId(21)).await.unwrap_err();
            assert!(matches!(none, StoreError::NotFound { .. }), "{none}");
        }
    });
}
