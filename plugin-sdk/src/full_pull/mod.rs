//! Full pulls: everything that the outside API has of a model, to find what was deleted there.
//!
//! A list that is read page by page moves while it is read. When a record before the place of
//! reading is deleted, all others move up, and one that was the first of the next page is now the
//! last of a page that was read already: it lives, and the pull never sees it. So a record that was
//! not seen is a *candidate* only, and needs one of three proofs before it is deleted:
//!
//! 1. the API says so when it is asked for the very record (`confirm`);
//! 2. the whole list came in one answer;
//! 3. two passes in a row, without anything that casts doubt on them, read the same ids in the same
//!    order, and either the list's places are numbers, or no record can jump back in it. (Behind an
//!    opaque cursor, a record that jumps back over the place of reading in one pass, forth again, and
//!    back in the next is in neither.) The host compares too: the second must have seen whatever the
//!    first one saw.
//!
//! As long as nothing is unseen, none of them costs a request.

mod confirm;
mod ids;
mod pass;
mod read;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

pub use self::confirm::Presence;
use self::confirm::{Ask, ConfirmWith, NoConfirmation};
pub use self::ids::SeenIds;
pub use self::pass::Pass;
use crate::failure::of_store;
use crate::host::{Host, Proof, SnapshotEnd, Unseen};
use crate::{Commit, Cx, Failure, Model, RequestBuilder, Result, info, warn};

/// How often a list is read in one pull, until two passes agree.
const PASSES_MAX: u32 = 3;
/// How many candidates are asked about at once.
const STEP: u32 = 100;

type Confirm = Box<dyn Fn(&str) -> RequestBuilder>;

/// A pull of everything that the outside API has of one model: [`Cx::full_pull`] makes it.
///
/// [`read`](Self::read) does all of it, for a list whose pages [`Paginate`](crate::Paginate) can
/// follow. A plugin with a checkpoint or a way to page of its own goes step by step:
/// [`begin`](Self::begin) or [`resume`](Self::resume), [`answered`](Self::answered) for each page
/// and [`saw`](Self::saw) for each of its ids, commits as ever, with the [`pass`](Self::pass) in
/// the checkpoint, and [`finish`](Self::finish) after the last page.
#[must_use]
pub struct FullPull {
    cx: Cx,
    model: String,
    id_field: Cow<'static, str>,
    pass: Pass,
    ids: SeenIds,
    /// How many skipped records of the run are in a pass already.
    tallied: u64,
    /// Records come twice by design.
    overlaps: bool,
    /// Two equal passes have no room for another record.
    two_passes_prove: bool,
    confirm: Option<Confirm>,
}

/// What comes after the last page.
#[derive(Debug)]
#[must_use]
pub enum Finish {
    /// Read the list once more, from its start; the checkpoint says so already.
    Again(Box<FullPull>),
    /// The pull is over.
    Done(SnapshotEnd),
}

impl FullPull {
    pub(crate) fn new(cx: Cx, model: Model) -> Self {
        let id_field = model.id;
        let model = model.name.into_owned();
        FullPull {
            tallied: cx.tally().skipped_of(&model),
            cx,
            model,
            id_field,
            pass: Pass::default(),
            ids: SeenIds::default(),
            overlaps: false,
            two_passes_prove: false,
            confirm: None,
        }
    }

    /// How to ask the API for one record, by its id: 404 and 410 say that it is gone, a 2xx that it
    /// lives. This is the one proof that holds whatever happens to the list meanwhile, and the
    /// cheapest when few records are gone.
    pub fn confirm(mut self, request: impl Fn(&str) -> RequestBuilder + 'static) -> Self {
        self.confirm = Some(Box::new(request));
        self
    }

    /// Pages overlap by design (each begins a little before the end of the last one), so that a
    /// record that comes twice says nothing.
    pub fn overlapping(mut self) -> Self {
        self.overlaps = true;
        self
    }

    /// The list's places are numbers: a page's, or an offset. [`read`](Self::read) knows that of its style.
    pub fn counted(mut self) -> Self {
        self.two_passes_prove = true;
        self
    }

    /// No record jumps back in the list: it is sorted by what does not change (an id, the time of
    /// creation), or by the last change, oldest first, so that a record only ever moves to the end.
    pub fn stable_order(mut self) -> Self {
        self.two_passes_prove = true;
        self
    }

    /// Begin, and forget a pull that was interrupted.
    pub async fn begin(&mut self) -> Result<()> {
        self.open(true).await.map(drop)
    }

    /// Go on with an interrupted pull, whose [`pass`](Self::pass) was in the checkpoint. False when
    /// it can't be: then [`begin`](Self::begin) anew, at the list's start.
    pub async fn resume(&mut self, pass: Pass) -> Result<bool> {
        self.pass = pass;
        if self.open(false).await? {
            return Ok(true);
        }
        self.pass = Pass::default();
        Ok(false)
    }

    async fn open(&self, restart: bool) -> Result<bool> {
        let model = self.model.clone();
        let opened = self.cx.host().begin_snapshot(model, restart).await;
        opened.map_err(|error| self.failure("beginning", error))
    }

    /// What a checkpoint has to hold of this pull.
    #[must_use]
    pub fn pass(&self) -> &Pass {
        &self.pass
    }

    /// A commit of this model.
    fn batch(&self) -> Commit {
        self.cx
            .batch(Model::new(self.model.as_str()).id(&*self.id_field))
    }

    /// An answer of the API came: a page of the list.
    pub fn answered(&mut self) {
        self.pass.answers += 1;
        self.tally();
    }

    /// Take in what the commits so far have skipped.
    fn tally(&mut self) {
        let all = self.cx.tally().skipped_of(&self.model);
        self.pass.skipped += all.saturating_sub(self.tallied);
        self.tallied = all;
    }

    /// The last answer had this record. False when an earlier one of the same pass had it too (as
    /// far as this run knows: an interruption forgets).
    pub fn saw(&mut self, id: &str) -> bool {
        let hash = self.pass.saw(id);
        self.ids.insert_hash(hash, id)
    }

    /// The last answer had a record that is skipped, with this id if it is known. One without may be any
    /// that is not seen, which casts doubt on the pass.
    pub fn skipped(&mut self, id: Option<&str>) {
        match id {
            Some(id) => {
                self.saw(id);
            }
            None => self.doubt("a record without an id was skipped"),
        }
    }

    /// Whether this run has seen the id in this pass.
    #[must_use]
    pub fn has_seen(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Something says that this pass did not read the whole list, or that the list moved
    /// meanwhile: `the total changed from 10 to 9`. Then it proves nothing.
    pub fn doubt(&mut self, why: impl Into<String>) {
        self.pass.doubt(&why.into());
    }

    /// What casts doubt on this pass.
    #[must_use]
    pub fn doubts(&self) -> &[String] {
        &self.pass.doubts
    }

    /// The list was read to its end, and every page is committed: find what is gone, and delete it.
    ///
    /// `checkpoint` is asked for what to store: with the next pass, when the list is to be read once
    /// more from its start, and without one when the pull is over. Before anything is deleted, the
    /// plugin's check of the connection runs ([`Plugin::check`](crate::Plugin::check)): a view
    /// without credentials would show less.
    pub async fn finish<C: Serialize>(
        self,
        checkpoint: impl Fn(Option<&Pass>) -> C,
    ) -> Result<Finish> {
        self.end(&NoConfirmation, checkpoint).await
    }

    /// Like [`finish`](Self::finish), with a function that asks the API about one record, given its
    /// id and its stored body.
    pub async fn finish_confirming<C: Serialize>(
        self,
        checkpoint: impl Fn(Option<&Pass>) -> C,
        confirm: impl AsyncFn(&str, &str) -> Result<Presence>,
    ) -> Result<Finish> {
        self.end(&ConfirmWith(confirm), checkpoint).await
    }

    async fn end<C: Serialize>(
        mut self,
        ask: &impl Ask,
        checkpoint: impl Fn(Option<&Pass>) -> C,
    ) -> Result<Finish> {
        let text = |pass: Option<&Pass>| serde_json::to_string(&checkpoint(pass));
        self.warn_of_repeats();
        self.tally();
        let found = self.unseen(0).await?;
        if found.unseen == 0 {
            return self.close(Proof::None, text(None)?).await;
        }
        // Each record counts once there. (Others may have saved some: that is more, and as doubtful.)
        // A skipped one counts only if it is stored.
        let least = self.pass.records.saturating_sub(self.pass.skipped);
        if !self.overlaps && !(least..=self.pass.records).contains(&found.seen) {
            let (records, seen) = (self.pass.records, found.seen);
            self.doubt(format!(
                "{records} records were read, {seen} different ones"
            ));
        }
        let checked = self.cx.check().await;
        checked.map_err(|failure| {
            failure.context(format!(
                "{}: {} records were not seen, and nothing was deleted, as the check of the \
                 connection failed",
                self.model, found.unseen
            ))
        })?;
        if ask.is_able() {
            self.confirm_all(ask, found, &text(Some(&self.pass))?)
                .await?;
            return self.close(Proof::None, text(None)?).await;
        }
        let doubtful = !self.pass.doubts.is_empty();
        if !doubtful && self.pass.answers == 1 {
            return self.close(Proof::OneAnswer, text(None)?).await;
        }
        if !doubtful && self.two_passes_prove && self.pass.agrees() {
            let proof = Proof::TwoPasses;
            return self.close(proof, text(None)?).await;
        }
        let is_provable = self.two_passes_prove || self.pass.answers == 1;
        if self.pass.number >= PASSES_MAX || !is_provable {
            self.warn_of_unproven(found.unseen);
            return self.close(Proof::None, text(None)?).await;
        }
        let next = self.pass.next(!doubtful);
        info!(
            "{}: {} records were not seen; reading the list once more",
            self.model, found.unseen
        );
        let stored = text(Some(&next))?;
        if doubtful {
            // In this order: a run that is killed in between adds to a pass that saw more.
            let host = self.cx.host();
            let saved = host.commit(Vec::new(), Some(stored)).await;
            saved.map_err(|error| self.failure("storing the place of", error))?;
            self.begin().await?;
        } else {
            let model = self.model.clone();
            let repeated = self.cx.host().repeat_snapshot(model, Some(stored)).await;
            repeated.map_err(|error| self.failure("repeating", error))?;
        }
        Ok(Finish::Again(Box::new(FullPull {
            pass: next,
            ids: SeenIds::default(),
            ..self
        })))
    }

    async fn unseen(&self, after: u64) -> Result<Unseen> {
        let model = self.model.clone();
        let found = self.cx.host().unseen(model, after, STEP).await;
        found.map_err(|error| self.failure("comparing", error))
    }

    async fn close(self, proof: Proof, checkpoint: String) -> Result<Finish> {
        let model = self.model.clone();
        let ended = self.cx.host().end_snapshot(model, proof, Some(checkpoint));
        let end = ended.await.map_err(|error| self.failure("ending", error))?;
        let why = match proof {
            Proof::TwoPasses => "in two passes, but these did not see the same records",
            Proof::OneAnswer => "but a record without an id was skipped, which may be any of them",
            Proof::None => "",
        };
        if end.kept > 0 && !why.is_empty() {
            warn!(
                "{}: {} records were not seen {why}, so nothing was deleted",
                self.model, end.kept
            );
        }
        Ok(Finish::Done(SnapshotEnd {
            deleted: end.deleted + self.pass.confirmed,
            ..end
        }))
    }

    fn warn_of_repeats(&mut self) {
        let Some(repeats) = self.ids.repeated().filter(|_| !self.overlaps) else {
            return;
        };
        warn!(
            "{}: ids more than once in one pull: {repeats}; either the list moved while it was \
             read, or this is not what tells one record from another",
            self.model
        );
        self.doubt("records came twice");
    }

    fn warn_of_unproven(&self, unseen: u64) {
        let why = match self.pass.doubts.as_slice() {
            [] if !self.two_passes_prove => {
                "they came in several answers, between which a record may jump back unseen"
                    .to_owned()
            }
            [] => "the list was another each time".to_owned(),
            doubts => doubts.join("; "),
        };
        let or_order = match self.two_passes_prove {
            true => "",
            false => ", and so would the word that none jumps back in the list (`stable_order`)",
        };
        warn!(
            "{}: {unseen} records were not seen, but it is not proven that they are gone ({why}), \
             so nothing was deleted; a way to ask for one record (`confirm`) would tell{or_order}",
            self.model
        );
    }

    fn failure(&self, doing: &str, error: crate::host::StoreError) -> Failure {
        of_store(&format!("{doing} the full pull of {}", self.model), error)
    }
}

impl fmt::Debug for FullPull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FullPull")
            .field("model", &self.model)
            .field("pass", &self.pass)
            .finish_non_exhaustive()
    }
}
