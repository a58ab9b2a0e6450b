//! Endings step by step: what comes between the steps, and what readers are shown meanwhile.

use std::path::Path;
use std::sync::Arc;

use tidegate_engine::Timestamp;
use tidegate_engine::integration::{Digest, NewDeployment};
use tidegate_engine::record::Record;
use tidegate_engine::run::Target;
use tidegate_engine::store::rules;
use tidegate_engine::store::{Commit, ModelStats, Proof, SnapshotGuard};

use super::*;
use crate::common::*;
use crate::disk::Disk;
use crate::feeds::Feeds;
use crate::open::{Options, Tuning};
use crate::read::{Found, Reader};

/// Records of the model, and those that the pull sees again.
const ALL: usize = 100;
const SEEN: usize = 10;
const STEP: usize = 7;

/// A store whose writer does what the test says, when it says so.
struct Scene {
    writer: Writer,
    reader: Reader,
}

impl Scene {
    fn open(root: &Path) -> Self {
        let tuning = Tuning {
            ending_step: STEP,
            ..Tuning::default()
        };
        let options = Options {
            tuning,
            ..Options::default()
        };
        let disk = Arc::new(Disk::open(&root.join("db"), &options).unwrap());
        let feeds = Arc::new(Feeds::default());
        let (integrations, bell) = (Arc::default(), Arc::default());
        let writer = Writer::open(
            Arc::clone(&disk),
            Arc::clone(&feeds),
            Arc::clone(&integrations),
            1,
            bell,
            tuning,
        );
        Self {
            writer: writer.unwrap(),
            reader: Reader {
                disk,
                feeds,
                store_id: 1,
                integrations,
            },
        }
    }

    /// With a run in the middle of a pull that has seen some of what is there.
    fn set_up(root: &Path) -> (Self, Fence) {
        let mut scene = Self::open(root);
        let writer = &mut scene.writer;
        let manifest = r#"{"manifest": 1, "name": "crm", "version": "1.0.0"}"#;
        let deployment = NewDeployment {
            integration: name("crm"),
            digest: Digest::of(b""),
            manifest: serde_json::from_str(manifest).unwrap(),
            grants: Default::default(),
            config: Default::default(),
            now: Timestamp(5),
        };
        writer.deploy(&deployment).unwrap();
        writer
            .add_connections(vec![new_connection("acme")], Vec::new())
            .unwrap();
        let run = new_run(1, Target::Sync(sync("acme", "contacts")));
        let fence = writer.start_run(run).unwrap().fence;
        scene.save(fence, "Contact", 0..ALL);
        let begun = scene
            .writer
            .begin_snapshot(run_id(1), fence, &name("Contact"), false);
        assert!(matches!(begun, Ok(Turn::Done(false))));
        scene.save(fence, "Contact", 0..SEEN);
        (scene, fence)
    }

    /// Save records as they are; false if the commit has to come again.
    fn save(&mut self, fence: Fence, model: &str, numbers: std::ops::Range<usize>) -> bool {
        let records: Vec<(String, String)> = numbers
            .map(|number| (format!("r{number:03}"), format!("{{\"n\":{number}}}")))
            .collect();
        let records: Vec<(&str, &str)> = records.iter().map(|(a, b)| (&**a, &**b)).collect();
        let mut commit: Commit = commit(vec![page(model, &records, &[])], 10);
        let hashes: Result<Vec<_>, _> = commit.pages.iter_mut().map(rules::hash_page).collect();
        let done = self
            .writer
            .commit_page(run_id(1), fence, &commit, &hashes.unwrap());
        let done = matches!(done.unwrap(), Turn::Done(_));
        self.writer.flush().unwrap();
        done
    }

    fn end(&mut self, fence: Fence) -> Turn<End> {
        let guard = SnapshotGuard {
            max_share_percent: 95,
            allow_all: false,
        };
        let contact = name("Contact");
        let end = EndSnapshot {
            proof: Proof::OneAnswer,
            guard,
            checkpoint: Some("\"done\"".to_owned()),
            now: Timestamp(20),
        };
        let ended = self.writer.end_snapshot(run_id(1), fence, &contact, end);
        let ended = ended.unwrap();
        self.writer.flush().unwrap();
        ended
    }

    /// What is to be answered later.
    fn end_later(&mut self, fence: Fence) -> oneshot::Receiver<Result<u64, StoreError>> {
        match self.end(fence) {
            Turn::Done(End::Later(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// All that readers see: the feed, each record by its id, the counts.
    fn shown(&self) -> (Vec<Record>, Vec<Record>, ModelStats) {
        let changes = self.reader.changes(&read(model("acme", "Contact")));
        let feed = changes.unwrap().0.records;
        let ids: Vec<String> = (0..ALL).map(|number| format!("r{number:03}")).collect();
        let found = self
            .reader
            .records(&model("acme", "Contact"), &ids, u64::MAX);
        let Found::All(records) = found.unwrap() else {
            panic!("something is not flushed");
        };
        let hashes = self.reader.hashes(&model("acme", "Contact"), &ids).unwrap();
        assert!(hashes.all().unwrap().iter().all(Option::is_some));
        let models = self.reader.models(&connection("acme")).unwrap();
        let stats = models.iter().find(|(own, _)| *own == name("Contact"));
        let records = records.into_iter().map(Option::unwrap).collect();
        (feed, records, stats.unwrap().1)
    }

    fn deleted(&self) -> u64 {
        let run = crate::lists::run(&self.reader.disk.view(), run_id(1)).unwrap();
        run.progress.counts[&name("Contact")].deleted
    }

    fn checkpoint(&self) -> Option<String> {
        let key = sync("acme", "contacts");
        crate::lists::checkpoint(&self.reader.disk.view(), &key).unwrap()
    }
}

#[test]
fn others_come_between_the_steps_and_readers_see_all_of_it_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (mut scene, fence) = Scene::set_up(root.path());
    let before = scene.shown();
    let mut answer = scene.end_later(fence);
    let mut steps = 0;
    while scene.writer.wants_ending() {
        assert!(answer.try_recv().is_err(), "answered after {steps} steps");
        assert_eq!(scene.shown(), before, "after {steps} steps");
        // Whoever has nothing to do with the feed goes on.
        assert!(scene.save(fence, "Deal", steps..steps + 1));
        // Whoever would change it, or end what is being ended, comes again.
        assert!(!scene.save(fence, "Contact", 50..51));
        assert!(matches!(scene.end(fence), Turn::After(held) if !held.is_over()));
        let begun = scene
            .writer
            .begin_snapshot(run_id(1), fence, &name("Contact"), true);
        assert!(matches!(begun, Ok(Turn::After(_))));
        let finished = scene.writer.finish_run(run_id(1), fence, end(30));
        assert!(matches!(finished, Ok(Turn::After(_))));
        assert_eq!(scene.deleted(), 0);
        scene.writer.ending_step().unwrap();
        steps += 1;
    }
    assert_eq!(steps, (ALL - SEEN).div_ceil(STEP));
    let gone = (ALL - SEEN) as u64;
    assert_eq!(answer.try_recv().unwrap(), Ok(gone));
    assert_eq!(scene.deleted(), gone);
    assert_eq!(scene.checkpoint().as_deref(), Some("\"done\""));
    let (feed, records, stats) = scene.shown();
    assert_eq!((stats.live, stats.deleted), (SEEN as u64, gone));
    assert_eq!(
        feed.iter().filter(|record| record.body.is_some()).count(),
        ALL
    );
    let deleted = |records: &[Record]| records.iter().filter(|r| r.deleted_at.is_some()).count();
    assert_eq!(
        (deleted(&feed), deleted(&records)),
        (ALL - SEEN, ALL - SEEN)
    );
    // Whoever gave way has its turn now.
    assert!(scene.save(fence, "Contact", 50..51));
    let finished = scene.writer.finish_run(run_id(1), fence, end(30));
    assert!(matches!(finished, Ok(Turn::Done(_))));
}

#[test]
fn what_fits_into_one_batch_is_done_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (mut scene, fence) = Scene::set_up(root.path());
    scene.save(fence, "Contact", SEEN..ALL - STEP);
    let ended = Ended {
        deleted: 7,
        kept: 0,
    };
    assert!(matches!(scene.end(fence), Turn::Done(End::Now(now)) if now == ended));
    assert_eq!((scene.shown().2.deleted, scene.deleted()), (7, 7));
}

#[test]
fn a_stop_between_any_two_steps_is_made_good_when_the_store_is_opened() {
    for steps in 0..=(ALL - SEEN).div_ceil(STEP) {
        let root = tempfile::tempdir().unwrap();
        let (mut scene, fence) = Scene::set_up(root.path());
        let answer = scene.end_later(fence);
        for _ in 0..steps {
            scene.writer.ending_step().unwrap();
        }
        drop((scene, answer));
        let scene = Scene::open(root.path());
        let stats = scene.shown().2;
        assert_eq!((stats.live, stats.deleted), (10, 90), "after {steps} steps");
        assert_eq!(scene.deleted(), 90, "after {steps} steps");
        assert_eq!(scene.checkpoint().as_deref(), Some("\"done\""));
    }
}

#[test]
fn a_connection_that_is_removed_takes_it_along() {
    let root = tempfile::tempdir().unwrap();
    let (mut scene, fence) = Scene::set_up(root.path());
    let mut answer = scene.end_later(fence);
    scene.writer.ending_step().unwrap();
    let removed = scene
        .writer
        .remove_connection(&connection("acme"), 1, Timestamp(30));
    removed.unwrap();
    scene.writer.flush().unwrap();
    assert!(!scene.writer.wants_ending());
    let dropped = Err(oneshot::error::TryRecvError::Closed);
    assert_eq!(answer.try_recv(), dropped);
    // Nor is it taken up again.
    drop(scene);
    let mut scene = Scene::open(root.path());
    while !scene.writer.purge_step().unwrap() {}
    let left = scene.reader.disk.view();
    let left =
        [Tag::Snapshot, Tag::Checkpoint, Tag::Pack].map(|tag| left.prefix(&Key::new(tag)).count());
    assert_eq!(left, [0; 3]);
}

#[test]
fn damage_on_the_way_ends_it_and_leaves_the_feed_in_use() {
    let root = tempfile::tempdir().unwrap();
    let (mut scene, fence) = Scene::set_up(root.path());
    let mut answer = scene.end_later(fence);
    scene.writer.ending_step().unwrap();
    // The segment that has the records.
    let mut writes = Writes::default();
    writes.put_new(keys::of_feed(Tag::Segment, 1).number(1), b"nonsense");
    scene.writer.apply(writes).unwrap();
    scene.writer.ending_step().unwrap();
    let told = answer.try_recv().unwrap();
    assert!(matches!(told, Err(StoreError::Damaged { .. })), "{told:?}");
    let models = scene.reader.models(&connection("acme")).unwrap();
    let (_, stats) = models[0];
    assert_eq!((stats.live, stats.deleted), (93, 7));
    assert!(scene.save(fence, "Contact", 200..201));
    let again = scene
        .writer
        .begin_snapshot(run_id(1), fence, &name("Contact"), false);
    assert!(matches!(again, Ok(Turn::Done(false))));
}
