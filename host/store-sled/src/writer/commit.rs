//! The command `commit_page`: pages, checkpoint and progress in one batch.

use tidegate_engine::canonical::BodyHash;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::record::{Counts, Page};
use tidegate_engine::run::{Fence, RunId};
use tidegate_engine::store::Commit;
use tidegate_engine::store::rules::{self, FeedEnd};
use tidegate_engine::{Name, StoreError};

use crate::disk::Writes;
use crate::layout::keys;
use crate::turns::{Held, Turn};

use super::Writer;
use super::changes::{Op, Plan, RecordEffect, plan};

impl Writer {
    /// Store a commit whose bodies have been hashed, page by page.
    pub(crate) fn commit_page(
        &mut self,
        id: RunId,
        fence: Fence,
        commit: &Commit,
        hashes: &[Vec<BodyHash>],
    ) -> Result<Turn<Vec<Counts>>, StoreError> {
        self.writing(id, fence)?;
        for page in &commit.pages {
            if let Some(held) = self.held_model(id, &page.model)? {
                return Ok(Turn::After(held));
            }
        }
        let sync = match commit.checkpoint {
            Some(_) => Some(self.writing_sync(id, fence)?.1),
            None => None,
        };
        let (by_model, holes) = ops_by_model(commit, hashes);
        let mut writes = Writes::default();
        let none = |page: &Page| Counts {
            skipped: page.skipped.len() as u64,
            ..Counts::default()
        };
        let mut counts: Vec<Counts> = commit.pages.iter().map(none).collect();
        let mut plans = Vec::with_capacity(by_model.len());
        let mut starts = Vec::with_capacity(by_model.len());
        for (model, ops) in by_model {
            let feed = self.feed_of_run(id, model, &mut writes)?;
            starts.push((model, self.end_of_feed(feed)?));
            let plan = plan(&self.view(), feed, ops, commit.now, &mut counts)?;
            plans.push((feed, plan.with_holes(holes.contains(&model))));
        }
        let models = commit.pages.iter().map(|page| &page.model);
        self.put_progress(id, &mut writes, |run| {
            for (model, start) in starts {
                run.note_start(model, start);
            }
            rules::add_progress(&mut run.progress, &commit.progress, models.zip(&counts));
        })?;
        if let (Some(checkpoint), Some(sync)) = (&commit.checkpoint, sync) {
            writes.put(&self.view(), keys::checkpoint(sync), checkpoint.as_bytes())?;
        }
        self.write_plans(&plans, writes)?;
        Ok(Turn::Done(counts))
    }

    /// The cursor of whoever has read the whole feed, as the writer has it.
    pub(super) fn end_of_feed(&mut self, number: u64) -> Result<Cursor, StoreError> {
        let store = self.store_id;
        let header = &self.load_feed(number)?.header;
        let end = FeedEnd {
            store,
            feed: number,
            last_seq: header.last_seq,
            pruned_seq: header.pruned_seq,
        };
        Ok(end.cursor())
    }

    /// Carry out plans together with other writes, as one batch.
    pub(super) fn write_plans(
        &mut self,
        plans: &[(u64, Plan<'_>)],
        mut writes: Writes,
    ) -> Result<(), StoreError> {
        let disk = std::sync::Arc::clone(&self.disk);
        let view = disk.writer_view();
        let mut publications = Vec::with_capacity(plans.len());
        for (number, plan) in plans {
            let Some(feed) = self.feeds.get_mut(number) else {
                continue;
            };
            let written = plan.write(&view, feed, &mut writes);
            // The feed in memory is ahead of the disk by now.
            self.failure = written.as_ref().err().cloned();
            publications.extend(written?.filter(|_| !feed.is_ending));
        }
        self.apply(writes)?;
        self.pending.extend(publications);
        Ok(())
    }

    /// The feed of a model of the run's connection, if there is one.
    pub(super) fn model_of_run(&self, id: RunId, model: &Name) -> Result<Option<u64>, StoreError> {
        let running = self.running.get(&id);
        let running = running.ok_or(StoreError::Fenced { run: id })?;
        if let Some(feed) = running.feeds.get(model) {
            return Ok(Some(*feed));
        }
        let key = keys::model(running.connection, model);
        self.view().row(&key, keys::decode_number)
    }

    /// Who works in steps on that feed, if anybody does.
    pub(super) fn held_model(&self, id: RunId, model: &Name) -> Result<Option<Held>, StoreError> {
        let feed = self.model_of_run(id, model)?;
        Ok(feed.and_then(|feed| self.held(feed)))
    }

    /// The feed of a model of the run's connection; made if there is none.
    pub(super) fn feed_of_run(
        &mut self,
        id: RunId,
        model: &Name,
        writes: &mut Writes,
    ) -> Result<u64, StoreError> {
        let stored = self.model_of_run(id, model)?;
        let running = self.running.get_mut(&id);
        let running = running.ok_or(StoreError::Fenced { run: id })?;
        if let Some(feed) = stored {
            running.feeds.insert(model.clone(), feed);
            return Ok(feed);
        }
        let key = keys::model(running.connection, model);
        // Stays given out even if the command fails: numbers need not be dense.
        self.counters.feed += 1;
        self.put_counters(writes)?;
        writes.put_new(key, &keys::encode_number(self.counters.feed));
        Ok(self.counters.feed)
    }
}

type ModelOps<'a> = (&'a Name, Vec<Op<'a>>);

/// The operations of each model, in the order of the pages; and the models of which a record without an id was skipped.
fn ops_by_model<'a>(
    commit: &'a Commit,
    hashes: &[Vec<BodyHash>],
) -> (Vec<ModelOps<'a>>, Vec<&'a Name>) {
    // A commit has few models.
    let mut by_model: Vec<ModelOps<'a>> = Vec::new();
    let mut holes = Vec::new();
    for (index, (page, hashes)) in commit.pages.iter().zip(hashes).enumerate() {
        if page.is_empty() {
            continue;
        }
        let own = match by_model.iter().position(|(model, _)| **model == page.model) {
            Some(own) => own,
            None => {
                by_model.push((&page.model, Vec::new()));
                by_model.len() - 1
            }
        };
        let Some((_, ops)) = by_model.get_mut(own) else {
            continue;
        };
        ops.reserve(page.len());
        ops.extend(page.delete.iter().map(|id| Op {
            id,
            page: index,
            what: RecordEffect::Delete,
        }));
        let saves = page.save.iter().zip(hashes);
        ops.extend(saves.map(|(save, hash)| Op {
            id: &save.id,
            page: index,
            what: RecordEffect::Save(&save.body, *hash),
        }));
        ops.extend(page.skipped.iter().filter_map(|skipped| {
            Some(Op {
                id: skipped.id.as_deref()?,
                page: index,
                what: RecordEffect::Skip,
            })
        }));
        if page.skipped.iter().any(|skipped| skipped.id.is_none()) {
            holes.push(&page.model);
        }
    }
    (by_model, holes)
}
