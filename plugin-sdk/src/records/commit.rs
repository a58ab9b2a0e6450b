//! Building a commit: records and deletions of one or several models, and a checkpoint.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use serde::Serialize;
use serde_json::value::RawValue;

use super::id;
use super::outcome::CommitOutcome;
use crate::failure::of_store;
use crate::host::{Batch, Host, Saved, Skipped, StoreErrorKind};
use crate::{Cx, Failure, Model, Result};

/// A commit being built: [`Cx::batch`] starts it, [`commit`](Commit::commit) stores all of it or
/// nothing. Limits: 10,000 records and 16 MiB of bodies a commit, 1 MiB a record, 512 bytes an
/// id, 64 KiB a checkpoint.
///
/// A record of the outside API that can't be stored (without an id, too large, …) does not stop the
/// others: it is skipped, counted and logged, as long as there are few of them
/// ([`OnBadRecord`](crate::OnBadRecord)). A skipped record that is stored already stays as it is.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// # async fn run(cx: Cx, contacts: Vec<Value>, gone: Vec<String>) -> Result<()> {
/// let outcome = cx
///     .batch("Contact")
///     .save_all(&contacts)?
///     .delete_all(gone)
///     .and("Company")
///     .save_with_id("acme", &json!({ "name": "Acme" }))?
///     .checkpoint(&json!({ "since": cx.now() }))?
///     .commit()
///     .await?;
/// info!("{} contacts are new", outcome.model("Contact").added);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is stored before commit()"]
pub struct Commit {
    pub(super) cx: Cx,
    /// The batches before the current one.
    batches: Vec<Batch>,
    batch: Batch,
    /// Of the current batch's model.
    pub(super) id_field: Cow<'static, str>,
    checkpoint: Option<String>,
}

impl Commit {
    pub(crate) fn new(cx: Cx, model: Model) -> Self {
        Commit {
            cx,
            batches: Vec::new(),
            batch: batch_of(model.name.into_owned()),
            id_field: model.id,
            checkpoint: None,
        }
    }

    /// Go on with a batch of another model, in the same commit.
    pub fn and(&mut self, model: impl Into<Model>) -> &mut Self {
        let model = model.into();
        self.id_field = model.id;
        let name = model.name;
        if name != self.batch.model {
            let batch = match self.batches.iter().position(|batch| batch.model == name) {
                Some(at) => self.batches.swap_remove(at),
                None => batch_of(name.into_owned()),
            };
            self.batches.push(mem::replace(&mut self.batch, batch));
        }
        self
    }

    /// Save a record under the id in its field `id`, or that of the [`Model::id`]: a string that is not empty, or an
    /// integer. One without such an id is skipped.
    pub fn save<T: Serialize + ?Sized>(&mut self, record: &T) -> Result<&mut Self> {
        let body = self.body_of(record)?;
        self.save_text(body)
    }

    /// Save records, each under the id in its field `id`.
    pub fn save_all<'a, T: Serialize + 'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a T>,
    ) -> Result<&mut Self> {
        for record in records {
            self.save(record)?;
        }
        Ok(self)
    }

    /// Save records, each under the id that a function takes from it:
    /// `save_by(|order| order.number.to_string(), &orders)`.
    pub fn save_by<'a, T: Serialize + 'a>(
        &mut self,
        id: impl Fn(&T) -> String,
        records: impl IntoIterator<Item = &'a T>,
    ) -> Result<&mut Self> {
        for record in records {
            self.save_with_id(id(record), record)?;
        }
        Ok(self)
    }

    /// Save a record under this id.
    pub fn save_with_id<T: Serialize + ?Sized>(
        &mut self,
        id: impl Into<String>,
        record: &T,
    ) -> Result<&mut Self> {
        let body = self.body_of(record)?;
        let id = id.into();
        if id.is_empty() {
            return Ok(self.skip(None, "its id is empty"));
        }
        self.batch.save.push(Saved { id, body });
        Ok(self)
    }

    /// Save a record that is JSON text already, under this id.
    pub fn save_json(&mut self, id: impl Into<String>, body: impl Into<String>) -> &mut Self {
        self.batch.save.push(Saved {
            id: id.into(),
            body: body.into(),
        });
        self
    }

    /// Save records that are JSON text already (see
    /// [`raw_items`](crate::HttpPage::raw_items)), each under the id in its field `id`. Of each
    /// only so much is read as it takes to find the id.
    pub fn save_raw<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a RawValue>,
    ) -> Result<&mut Self> {
        for record in records {
            self.save_text(record.get().to_owned())?;
        }
        Ok(self)
    }

    /// Leave out a record that can't be stored, and say why. With the id that it has at its source, if
    /// that is known: a record without one could be any of those that are stored, so that a
    /// full pull's pass proves nothing. Its position, for the log, is that of the next record of the batch.
    pub fn skip(&mut self, id: Option<&str>, reason: impl fmt::Display) -> &mut Self {
        self.skip_at(self.batch.save.len() + self.batch.skipped.len(), id, reason)
    }

    /// Like [`skip`](Commit::skip), of the record that was at this position of its page, from 0.
    pub fn skip_at(
        &mut self,
        position: usize,
        id: Option<&str>,
        reason: impl fmt::Display,
    ) -> &mut Self {
        self.batch.skipped.push(Skipped {
            id: id.map(str::to_owned),
            position: u32::try_from(position).unwrap_or(u32::MAX),
            reason: reason.to_string(),
        });
        self
    }

    /// Delete a record. One that is not stored is ignored. In one commit deletes come before
    /// saves, so a record that is both is saved.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "`delete(7)` and `delete(id)` read better than references"
    )]
    pub fn delete(&mut self, id: impl ToString) -> &mut Self {
        self.batch.delete.push(id.to_string());
        self
    }

    /// Delete records.
    pub fn delete_all(&mut self, ids: impl IntoIterator<Item = impl ToString>) -> &mut Self {
        let ids = ids.into_iter().map(|id| id.to_string());
        self.batch.delete.extend(ids);
        self
    }

    /// Store this checkpoint with the records: what [`Cx::checkpoint`] returns in the next run.
    pub fn checkpoint<T: Serialize + ?Sized>(&mut self, checkpoint: &T) -> Result<&mut Self> {
        self.checkpoint = Some(serde_json::to_string(checkpoint)?);
        Ok(self)
    }

    /// How many records are saved, deleted and skipped so far.
    #[must_use]
    pub fn len(&self) -> usize {
        let of = |batch: &Batch| batch.save.len() + batch.delete.len() + batch.skipped.len();
        self.batches.iter().map(of).sum::<usize>() + of(&self.batch)
    }

    /// Whether there is no record so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Store all of it, or nothing. When it returns, it is durable, and the builder is empty and
    /// can be used again.
    ///
    /// Fails, with the code `record-invalid` or `store-invalid`, when more records can't be stored than
    /// the run may skip.
    pub async fn commit(&mut self) -> Result<CommitOutcome> {
        let empty = batch_of(self.batch.model.clone());
        let mut batches = mem::take(&mut self.batches);
        batches.push(mem::replace(&mut self.batch, empty));
        let what = format!("committing {}", models_of(&batches));
        let records = batches
            .iter()
            .map(|batch| batch.save.len() + batch.skipped.len());
        let records = records.sum();
        let tally = self.cx.tally();
        let few = tally.allow(&mut batches);
        let committed = self.cx.host().commit(batches, self.checkpoint.take()).await;
        let outcome = committed.map_err(|error| {
            let is_of_records = error.kind == StoreErrorKind::Invalid && !few;
            let failure = of_store(&what, error);
            match is_of_records {
                true => failure.code("record-invalid"),
                false => failure,
            }
        })?;
        tally.count(records, &outcome);
        Ok(CommitOutcome::new(outcome))
    }

    /// The ids of the records of `model` that are to be saved.
    pub(crate) fn saved(&self, model: &str) -> Vec<String> {
        let batches = self.batches.iter().chain([&self.batch]);
        let own = batches.filter(|batch| batch.model == model);
        own.flat_map(|batch| batch.save.iter().map(|saved| saved.id.clone()))
            .collect()
    }

    /// The ids of the records of `model` that are to be skipped; `None` for one without.
    pub(crate) fn skipped(&self, model: &str) -> Vec<Option<String>> {
        let batches = self.batches.iter().chain([&self.batch]);
        let own = batches.filter(|batch| batch.model == model);
        own.flat_map(|batch| batch.skipped.iter().map(|skipped| skipped.id.clone()))
            .collect()
    }

    /// A checkpoint that is JSON text already.
    pub(crate) fn checkpoint_text(&mut self, text: String) {
        self.checkpoint = Some(text);
    }

    fn body_of<T: Serialize + ?Sized>(&self, record: &T) -> Result<String> {
        serde_json::to_string(record).map_err(|error| self.unfit(&error.to_string()))
    }

    fn save_text(&mut self, body: String) -> Result<&mut Self> {
        match id::find(&body, &self.id_field) {
            Ok(id) => {
                self.batch.save.push(Saved { id, body });
                Ok(self)
            }
            Err(problem) => {
                let begins = crate::text::excerpt(&body, 120);
                Ok(self.skip(None, format!("{problem} (the record begins: {begins})")))
            }
        }
    }

    fn unfit(&self, problem: &str) -> Failure {
        let Batch { model, save, .. } = &self.batch;
        Failure::other(format!(
            "{model}: record {} of the batch can't be saved: {problem}",
            save.len() + 1
        ))
        .code("record-invalid")
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit")
            .field("model", &self.batch.model)
            .field("len", &self.len())
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

fn batch_of(model: String) -> Batch {
    Batch {
        model,
        ..Batch::default()
    }
}

fn models_of(batches: &[Batch]) -> String {
    let mut names = String::new();
    for batch in batches {
        if !names.is_empty() {
            names.push_str(" and ");
        }
        names.push_str(&batch.model);
    }
    names
}
