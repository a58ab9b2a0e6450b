//! Integrations that go, and imports that come, some connections at a time: what comes between the steps, and what a kill
//! between any two of them leaves.

use std::path::Path;
use std::sync::Arc;

use tidegate_engine::canonical;
use tidegate_engine::integration::NewDeployment;
use tidegate_engine::record::Action;
use tidegate_engine::run::Target;
use tidegate_engine::transfer::{ImportId, ImportPart, Imported, ImportedRecord};

use super::*;
use crate::common::*;
use crate::disk::Disk;
use crate::open::{Options, Tuning};
use crate::{lists, read};

const IMPORT: ImportId = ImportId(7);
/// Connections, and how many of them one step handles.
const ALL: usize = 10;
const STEP: usize = 3;

/// A store whose writer does what the test says, when it says so.
struct Scene {
    writer: Writer,
    disk: Arc<Disk>,
    components: Components,
}

impl Scene {
    fn open(root: &Path) -> Self {
        let tuning = Tuning {
            step_keys: STEP,
            ..Tuning::default()
        };
        let options = Options {
            tuning,
            ..Options::default()
        };
        let disk = Arc::new(Disk::open(&root.join("db"), &options).unwrap());
        let writer = Writer::open(
            Arc::clone(&disk),
            Arc::default(),
            Arc::default(),
            1,
            Arc::default(),
            tuning,
        );
        let components = root.join("components");
        std::fs::create_dir_all(&components).unwrap();
        Self {
            writer: writer.unwrap(),
            disk,
            components: Components::new(components),
        }
    }

    /// With the integrations `crm`, which has many connections, and `shop`, which has one.
    fn set_up(root: &Path) -> Self {
        let mut scene = Self::open(root);
        for integration in ["crm", "shop"] {
            let new = scene.deployment(integration);
            scene.writer.deploy(&new).unwrap();
        }
        let mut other = new_connection("other");
        other.key.integration = name("shop");
        let all = (0..ALL).map(|number| new_connection(&format!("c{number}")));
        let all = all.chain([other]).collect();
        scene.writer.add_connections(all, Vec::new()).unwrap();
        scene.writer.flush().unwrap();
        scene
    }

    fn deployment(&self, integration: &str) -> NewDeployment {
        let manifest = r#"{"manifest": 1, "name": "crm", "version": "1.0.0"}"#;
        NewDeployment {
            integration: name(integration),
            digest: self.components.put(integration.as_bytes()).unwrap(),
            manifest: serde_json::from_str(manifest).unwrap(),
            grants: Default::default(),
            config: Default::default(),
            now: Timestamp(5),
        }
    }

    /// Rows of connections of `crm`.
    fn rows(&self) -> usize {
        let prefix = keys::connections(&name("crm"));
        self.disk.view().prefix(&prefix).count()
    }

    fn is_seen(&self, connection_name: &str) -> bool {
        read::connection(&self.disk.rows(), &connection(connection_name)).is_ok()
    }

    fn starts(&mut self, number: u64, target: Target) -> bool {
        let started = self.writer.start_run(new_run(number, target));
        self.writer.flush().unwrap();
        started.is_ok()
    }

    fn purge(&mut self) {
        while !self.writer.purge_step().unwrap() {}
        self.writer.flush().unwrap();
    }

    /// As after a kill: nothing of what the writer remembers is there.
    fn reopen(self, root: &Path) -> Self {
        let Self { writer, disk, .. } = self;
        drop((writer, disk));
        Self::open(root)
    }

    fn is_busy<T: std::fmt::Debug>(&self, done: &Result<T, StoreError>) -> bool {
        matches!(done, Err(StoreError::Busy { .. }))
    }
}

fn shop_action() -> Target {
    let connection = ConnectionKey {
        integration: name("shop"),
        connection: "other".parse().unwrap(),
    };
    Target::Action {
        connection,
        action: name("push"),
    }
}

/// Steps until `crm` is gone.
fn steps() -> usize {
    ALL.div_ceil(STEP)
}

#[test]
fn an_integration_goes_some_connections_at_a_time_and_a_kill_brings_none_back() {
    for killed_after in 0..=steps() {
        let dir = tempfile::tempdir().unwrap();
        let mut scene = Scene::set_up(dir.path());
        let dropped = scene
            .writer
            .drop_names(&Scope::Integration(name("crm")), 0)
            .unwrap();
        assert_eq!(dropped, Dropped::default(), "nothing yet");
        for step in 0..killed_after {
            assert_eq!(scene.rows(), ALL - (STEP * step).min(ALL));
            // Others go on, and nothing is added to what goes.
            assert!(scene.starts(step as u64, shop_action()), "{step}");
            let new = scene.deployment("crm");
            let deployed = scene.writer.deploy(&new);
            assert!(scene.is_busy(&deployed));
            let added = scene
                .writer
                .add_connections(vec![new_connection("late")], Vec::new());
            assert!(scene.is_busy(&added));
            scene.writer.purge_step().unwrap();
            scene.writer.flush().unwrap();
            for number in 0..steps() {
                let end = scene.writer.running.get(&run_id(number as u64));
                if let Some(fence) = end.map(|own| own.run.fence) {
                    let end = end_of();
                    let ended = scene.writer.finish_run(run_id(number as u64), fence, end);
                    ended.unwrap();
                }
            }
        }
        if killed_after == steps() {
            let gone = scene.writer.take_gone(&name("crm")).unwrap();
            assert_eq!(gone.connections, ALL as u64);
        }
        let mut scene = scene.reopen(dir.path());
        scene.purge();
        assert_eq!(scene.rows(), 0);
        let left = lists::integrations(&scene.disk.view(), None, 9).unwrap();
        assert_eq!(left.len(), 1, "{killed_after}");
        let removals = scene.disk.view().prefix(&Key::new(Tag::Dropped)).count();
        assert_eq!(removals, 0);
        // Made anew, it has nothing of the old one.
        let new = scene.deployment("crm");
        scene.writer.deploy(&new).unwrap();
        assert!(!scene.is_seen("c0"));
    }
}

fn end_of() -> tidegate_engine::run::RunEnd {
    end(10)
}

#[test]
fn a_run_that_begins_meanwhile_is_cancelled_with_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::set_up(dir.path());
    let crm = Scope::Integration(name("crm"));
    scene.writer.drop_names(&crm, 0).unwrap();
    scene.writer.purge_step().unwrap();
    let late = Target::Sync(sync("c9", "contacts"));
    assert!(scene.starts(1, late));
    let fence = scene.writer.running[&run_id(1)].run.fence;
    scene.purge();
    assert_eq!(scene.rows(), 0);
    let ended = scene.writer.finish_run(run_id(1), fence, end(10));
    assert!(matches!(ended, Err(StoreError::Fenced { .. })), "{ended:?}");
}

/// An import of a new `crm` with as many connections, each with a record and a checkpoint.
fn stage(scene: &mut Scene) {
    let new = scene.deployment("crm");
    let integration = rules::deployed(None, &new);
    let mut parts = vec![ImportPart::Integration(Box::new(integration))];
    for number in 0..ALL {
        let key = format!("c{number}");
        parts.push(ImportPart::Connection(Box::new(new_connection(&key))));
        parts.push(ImportPart::Checkpoint {
            key: sync(&key, "contacts"),
            checkpoint: "1".to_owned(),
        });
        let hash = canonical::hash("{}").unwrap();
        parts.push(ImportPart::Records {
            model: model(&key, "Contact"),
            records: vec![ImportedRecord {
                id: "a".into(),
                body: Some("{}".into()),
                hash,
                body_len: 2,
                action: Action::Added,
                first_seen_at: Timestamp(1),
                last_modified_at: Timestamp(1),
            }],
        });
    }
    for (number, part) in parts.into_iter().enumerate() {
        let staged = scene
            .writer
            .stage_import(IMPORT, number as u64, part, &scene.components);
        staged.unwrap();
    }
}

fn brought() -> Imported {
    Imported {
        integrations: 1,
        connections: ALL as u64,
        models: ALL as u64,
        records: ALL as u64,
        checkpoints: ALL as u64,
    }
}

#[test]
fn an_import_is_seen_with_its_last_step_and_a_kill_before_leaves_nothing() {
    // One to decide, one for each connection, as it has three rows, and the last.
    let steps = 1 + ALL + 1;
    for killed_after in 0..=steps {
        let dir = tempfile::tempdir().unwrap();
        let mut scene = Scene::open(dir.path());
        stage(&mut scene);
        for step in 1..=killed_after {
            let done = scene.writer.finish_import(IMPORT, &scene.components);
            assert_eq!(done.unwrap(), (step == steps).then(brought), "step {step}");
            scene.writer.flush().unwrap();
            assert_eq!(scene.is_seen("c0"), step == steps);
            assert_eq!(
                scene.starts(1, Target::Sync(sync("c0", "contacts"))),
                step == steps
            );
            if step < steps {
                let new = scene.deployment("crm");
                let deployed = scene.writer.deploy(&new);
                assert!(scene.is_busy(&deployed), "step {step}");
            }
        }
        let mut scene = scene.reopen(dir.path());
        let is_whole = killed_after == steps;
        assert_eq!(scene.is_seen("c9"), is_whole, "{killed_after}");
        scene.purge();
        assert_eq!(scene.is_seen("c9"), is_whole, "{killed_after}");
        assert_eq!(scene.rows(), if is_whole { ALL } else { 0 });
        let view = scene.disk.view();
        for tag in [
            Tag::Model,
            Tag::Feed,
            Tag::Segment,
            Tag::Checkpoint,
            Tag::Integration,
        ] {
            let is_there = view.prefix(&Key::new(tag)).next().is_some();
            assert_eq!(is_there, is_whole, "{tag:?} after {killed_after}");
        }
        assert!(view.prefix(&Key::new(Tag::Dropped)).next().is_none());
    }
}

#[test]
fn an_import_that_is_given_up_on_its_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::open(dir.path());
    stage(&mut scene);
    for _ in 0..4 {
        let done = scene.writer.finish_import(IMPORT, &scene.components);
        assert_eq!(done.unwrap(), None);
    }
    scene.writer.abort_import(IMPORT);
    scene.purge();
    assert_eq!(scene.rows(), 0);
    // It can be tried again.
    stage(&mut scene);
    while scene
        .writer
        .finish_import(IMPORT, &scene.components)
        .unwrap()
        .is_none()
    {}
    assert!(scene.is_seen("c9"));
}

#[test]
fn what_is_there_is_not_purged_whatever_a_row_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::open(dir.path());
    stage(&mut scene);
    while scene
        .writer
        .finish_import(IMPORT, &scene.components)
        .unwrap()
        .is_none()
    {}
    let view = scene.disk.view();
    let number = read::connection(&view, &connection("c3")).unwrap().number;
    let feed = read::feed_number(&view, &model("c4", "Contact")).unwrap();
    drop(view);
    let stray = [
        (keys::dropped_feeds().number(feed.unwrap()), &b""[..]),
        (keys::dropped_connections().number(number), b"crm"),
        // And one of something that is gone.
        (keys::dropped_feeds().number(1_000), b""),
    ];
    let mut writes = Writes::default();
    for (key, value) in stray {
        writes.put_new(key, value);
    }
    scene.writer.apply(writes).unwrap();
    scene.writer.flush().unwrap();
    let mut scene = scene.reopen(dir.path());
    let notes = scene.writer.notes.clone();
    assert_eq!(notes.len(), 2, "{notes:?}");
    scene.purge();
    for key in ["c3", "c4"] {
        assert!(scene.is_seen(key));
        let sync = sync(key, "contacts");
        let checkpoint = lists::checkpoint(&scene.disk.rows(), &sync);
        assert_eq!(checkpoint.unwrap().as_deref(), Some("1"));
        let feed = read::feed_number(&scene.disk.view(), &model(key, "Contact"));
        let header = keys::of_feed(Tag::Feed, feed.unwrap().unwrap());
        assert!(scene.disk.view().get(&header).unwrap().is_some(), "{key}");
    }
    let removals = scene.disk.view().prefix(&Key::new(Tag::Dropped)).count();
    assert_eq!(removals, 0);
}
