//! `records`: the record store of the run's connection.

use std::borrow::Cow;
use std::sync::Arc;

use tidegate_contract::tidegate::plugin::records::{
    Batch, Error, ErrorKind, Host, HostWithStore, ModelOutcome, Proof, SnapshotEnd, UnseenPage,
};
use tidegate_egress::Share;
use tidegate_engine::Name;
use tidegate_engine::cassette::{CommitAsk, Refusal, RefusalKind};
use tidegate_engine::limits::{GET_IDS_MAX, SKIPPED_LOGGED, SKIPPED_REASON_BYTES_MAX};
use tidegate_engine::record::{self, Counts, Page, PageError, Save, Skipped};
use tidegate_engine::run::{Blame, Level};
use wasmtime::component::Accessor;

use super::snapshots;
use super::taken::hold_until_taken;
use crate::calls::{bodies_bytes, page_refusal, refusal};
use crate::log::cut;
use crate::state::{Imports, Live, RunState};

/// Most bytes of bodies that one look into the store may bring.
const GET_BYTES: u64 = 32 * 1024 * 1024;

/// Bodies of a commit that are checked where the call is: handing fewer to another thread takes longer.
const PREPARED_INLINE_BYTES: usize = 32 * 1024;
/// How much is shown of the id of a record that is skipped.
const ID_SHOWN_BYTES_MAX: usize = 512;

impl Host for RunState {}

impl<T: Send + 'static> HostWithStore<T> for Imports {
    async fn commit(
        accessor: &Accessor<T, Self>,
        batches: Vec<Batch>,
        checkpoint: Option<String>,
    ) -> wasmtime::Result<Result<Vec<ModelOutcome>, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.commit"))?;
        let text = checkpoint.as_ref().map_or(0, String::len);
        let _held = live
            .hold(text + batches.iter().map(batch_bytes).sum::<usize>())
            .await?;
        Ok(commit(&live, batches, checkpoint).await)
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        model: String,
        ids: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<String>>, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.get"))?;
        let _held = live
            .hold(model.len() + ids.iter().map(String::len).sum::<usize>())
            .await?;
        let (bodies, shares) = get(&live, &model, &ids).await?;
        hold_until_taken(accessor, shares)?;
        Ok(bodies)
    }

    async fn begin_snapshot(
        accessor: &Accessor<T, Self>,
        model: String,
        restart: bool,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.begin-snapshot"))?;
        let _held = live.hold(model.len()).await?;
        let model = match granted(&live, &model) {
            Ok(model) => model,
            Err(error) => return Ok(Err(error)),
        };
        let begun = live.calls.begin_snapshot(model, restart).await;
        Ok(begun.map_err(|refusal| error(&live, refusal)))
    }

    async fn unseen(
        accessor: &Accessor<T, Self>,
        model: String,
        after: u64,
        limit: u32,
    ) -> wasmtime::Result<Result<UnseenPage, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.unseen"))?;
        let _held = live.hold(model.len()).await?;
        let (page, share) = snapshots::unseen(&live, &model, after, limit).await?;
        hold_until_taken(accessor, share)?;
        Ok(page)
    }

    async fn repeat_snapshot(
        accessor: &Accessor<T, Self>,
        model: String,
        checkpoint: Option<String>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.repeat-snapshot"))?;
        let _held = live
            .hold(model.len() + checkpoint.as_ref().map_or(0, String::len))
            .await?;
        Ok(snapshots::repeat(&live, &model, checkpoint).await)
    }

    async fn end_snapshot(
        accessor: &Accessor<T, Self>,
        model: String,
        proof: Proof,
        checkpoint: Option<String>,
    ) -> wasmtime::Result<Result<SnapshotEnd, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.end-snapshot"))?;
        let _held = live
            .hold(model.len() + checkpoint.as_ref().map_or(0, String::len))
            .await?;
        Ok(snapshots::end(&live, &model, proof, checkpoint).await)
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    let saves = batch
        .save
        .iter()
        .map(|save| save.id.len() + save.body.len());
    let deletes = batch.delete.iter().map(String::len);
    let skipped = batch.skipped.iter();
    let skipped = skipped.map(|s| s.reason.len() + s.id.as_ref().map_or(0, String::len));
    batch.model.len() + saves.chain(deletes).chain(skipped).sum::<usize>()
}

async fn commit(
    live: &Live,
    batches: Vec<Batch>,
    checkpoint: Option<String>,
) -> Result<Vec<ModelOutcome>, Error> {
    let mut converted = Vec::with_capacity(batches.len());
    for batch in batches {
        let save = batch.save.into_iter().map(|saved| Save {
            id: saved.id,
            body: saved.body,
            hash: None,
        });
        let skipped = batch.skipped.into_iter().map(|skipped| Skipped {
            id: skipped.id,
            position: skipped.position,
            reason: cut(&skipped.reason, 0, SKIPPED_REASON_BYTES_MAX),
        });
        converted.push(Page {
            model: granted(live, &batch.model)?,
            save: save.collect(),
            delete: batch.delete,
            skipped: skipped.collect(),
            may_skip: batch.may_skip,
        });
    }
    let (converted, repeated) = prepared(live, converted).await?;
    if !repeated.is_empty() {
        let ids = repeated.join(", ");
        live.log.host(
            Level::Warn,
            &format!("ids more than once in one commit, the last of each was taken: {ids}"),
        );
    }
    let checkpoint = checked_checkpoint(live, checkpoint)?;
    tell_of_secrets(live, &converted);
    let records = converted.iter().map(|page| page.len() as u64).sum();
    if live.meter.records(records) > live.limits.records_per_run {
        let message = format!(
            "the run has saved more records than the limit records_per_run, {}",
            live.limits.records_per_run
        );
        let refusal = Refusal {
            limit: Some("records_per_run".to_owned()),
            ..refusal(RefusalKind::Invalid, message)
        };
        return Err(error(live, refusal));
    }
    let models: Vec<Name> = converted.iter().map(|page| page.model.clone()).collect();
    let skipped: Vec<(Name, Skipped)> = converted
        .iter()
        .flat_map(|page| page.skipped.iter().map(|s| (page.model.clone(), s.clone())))
        .collect();
    let advances = checkpoint.is_some();
    let moves = is_elsewhere(live, checkpoint.as_deref());
    let commit = CommitAsk {
        pages: converted,
        checkpoint,
    };
    let counts = live
        .calls
        .commit(commit, live.meter.figures())
        .await
        .map_err(|refusal| error(live, refusal))?;
    live.note(|notes| notes.advanced |= advances);
    if moves {
        live.calls.rest.arrive();
    }
    live.meter.commit_done();
    live.log.committed();
    log_skipped(live, &skipped);
    Ok(models
        .iter()
        .zip(counts)
        .map(|(model, counts)| outcome(live, model, counts))
        .collect())
}

/// The pages after the checks that each passes before a store sees it, and the ids that were repeated.
async fn prepared(live: &Live, mut pages: Vec<Page>) -> Result<(Vec<Page>, Vec<String>), Error> {
    let refused = |e: PageError| error(live, page_refusal(&e));
    let saved = pages.iter().flat_map(|page| &page.save);
    let limits = live.limits.clone();
    if saved.map(|save| save.body.len()).sum::<usize>() <= PREPARED_INLINE_BYTES {
        let repeated = record::prepare(&mut pages, &limits).map_err(refused)?;
        return Ok((pages, repeated));
    }
    let work = move || record::prepare(&mut pages, &limits).map(|repeated| (pages, repeated));
    match tokio::task::spawn_blocking(work).await {
        Ok(prepared) => prepared.map_err(refused),
        Err(failed) => {
            let message = format!("checking a commit: {failed}");
            let refusal = Refusal {
                blame: Some(Blame::Host),
                ..refusal(RefusalKind::Other, message)
            };
            Err(error(live, refusal))
        }
    }
}

/// Tell the operator what is not stored, as long as there is not too much of it.
fn log_skipped(live: &Live, skipped: &[(Name, Skipped)]) {
    for (
        model,
        Skipped {
            id,
            position,
            reason,
        },
    ) in skipped
    {
        let message = match (live.meter.skipped(), id) {
            (before, _) if before > SKIPPED_LOGGED => continue,
            (SKIPPED_LOGGED, _) => format!(
                "more records are skipped, which are counted only: the limit skipped_logged is \
                 {SKIPPED_LOGGED}"
            ),
            (_, Some(id)) => {
                let id = cut(id, 0, ID_SHOWN_BYTES_MAX);
                format!("skipped {model} {id:?} (record {position} of its page): {reason}")
            }
            (_, None) => format!(
                "skipped {model} without a known id (record {position} of its page), so that an open \
                 snapshot deletes nothing: {reason}"
            ),
        };
        live.log.host(Level::Warn, &message);
    }
}

fn outcome(live: &Live, model: &Name, counts: Counts) -> ModelOutcome {
    live.meter.committed(model, counts);
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    ModelOutcome {
        model: model.to_string(),
        added: count(counts.added),
        updated: count(counts.updated),
        deleted: count(counts.deleted),
        unchanged: count(counts.unchanged),
        skipped: count(counts.skipped),
    }
}

/// The bodies, and what of the run's account they take.
async fn get(
    live: &Arc<Live>,
    model: &str,
    ids: &[String],
) -> wasmtime::Result<(Result<Vec<Option<String>>, Error>, Vec<Share>)> {
    let refused = |error| Ok((Err(error), Vec::new()));
    let model = match granted(live, model) {
        Ok(model) => model,
        Err(error) => return refused(error),
    };
    if ids.len() > GET_IDS_MAX {
        let message = format!("{} ids; the most at once is {GET_IDS_MAX}", ids.len());
        return refused(invalid(live, message));
    }
    // A few at a time, so that what is held is known before there is too much of it.
    let step = GET_BYTES / live.limits.record_bytes.max(1);
    let step = usize::try_from(step).unwrap_or(usize::MAX).max(1);
    let (mut bodies, mut held) = (Vec::with_capacity(ids.len()), Vec::new());
    for ids in ids.chunks(step) {
        let (found, share) = match live.calls.get(model.clone(), ids).await {
            Ok(found) => found,
            Err(refusal) => return refused(error(live, refusal)),
        };
        held.push(live.hold_answer(share, bodies_bytes(&found)).await?);
        bodies.extend(found);
    }
    Ok((Ok(bodies), held))
}

/// Whether the checkpoint is another than the one with which the run began: runs that are stopped at that one
/// again and again are stalled.
pub(super) fn is_elsewhere(live: &Live, checkpoint: Option<&str>) -> bool {
    checkpoint.is_some() && checkpoint != live.checkpoint.as_deref()
}

pub(super) fn checked_checkpoint(
    live: &Live,
    checkpoint: Option<String>,
) -> Result<Option<String>, Error> {
    let Some(checkpoint) = checkpoint else {
        return Ok(None);
    };
    if !live.is_sync {
        return Err(invalid(live, "only a sync has a checkpoint"));
    }
    record::check_checkpoint(&checkpoint, &live.limits)
        .map_err(|e| error(live, page_refusal(&e)))?;
    Ok(Some(without_secrets(live, "the checkpoint", checkpoint)))
}

/// What the plugin keeps for itself is shown to people, and lies on disk in clear.
pub(super) fn without_secrets(live: &Live, what: &str, json: String) -> String {
    let Cow::Owned(clean) = live.secrets.redactor().json(&json) else {
        return json;
    };
    let mut told = false;
    live.note(|notes| told = std::mem::replace(&mut notes.told_of_secrets.1, true));
    if !told {
        let message = format!(
            "{what} held a secret of the connection, which the API has repeated; [secret] is kept in its place"
        );
        live.log.host(Level::Warn, &message);
    }
    clean
}

/// Records are data, and are kept as the API has them. That one holds a secret is worth a line.
fn tell_of_secrets(live: &Live, pages: &[Page]) {
    let redactor = live.secrets.redactor();
    let holds = |save: &&Save| {
        redactor.appears(save.id.as_bytes()) || redactor.appears(save.body.as_bytes())
    };
    let found = pages
        .iter()
        .find_map(|page| Some((page, page.save.iter().find(holds)?)));
    let Some((page, save)) = found else { return };
    let mut told = false;
    live.note(|notes| told = std::mem::replace(&mut notes.told_of_secrets.0, true));
    if !told {
        let message = format!(
            "the API repeats a secret of the connection in records, which are kept as they are: whoever reads \
             {} can read it, the first time in record {:?}",
            page.model, save.id
        );
        live.log.host(Level::Warn, &message);
    }
}

pub(super) fn granted(live: &Live, model: &str) -> Result<Name, Error> {
    record::granted(&live.models, model)
        .map_err(|message| error(live, refusal(RefusalKind::Denied, message)))
}

/// What the guest is told about a refusal; what the operator must know is noted.
pub(super) fn error(live: &Live, refusal: Refusal) -> Error {
    let cause = live.heed(&refusal);
    let kind = match refusal.kind {
        RefusalKind::Denied => ErrorKind::Denied,
        RefusalKind::Invalid => ErrorKind::Invalid,
        RefusalKind::Refused => ErrorKind::Refused,
        RefusalKind::Fenced => ErrorKind::Fenced,
        RefusalKind::Timeout
        | RefusalKind::Connect
        | RefusalKind::TooLarge
        | RefusalKind::Exhausted
        | RefusalKind::Token
        | RefusalKind::Other => ErrorKind::Other,
    };
    Error {
        kind,
        message: refusal.message,
        cause,
    }
}

/// A call that is invalid, or asks for what the manifest does not: the guest is to blame.
pub(super) fn invalid(live: &Live, message: impl Into<String>) -> Error {
    error(live, refusal(RefusalKind::Invalid, message))
}

/// A call that needs the operator's word.
pub(super) fn not_granted(message: impl Into<String>) -> Refusal {
    Refusal {
        blame: Some(Blame::Operator),
        ..refusal(RefusalKind::Denied, message)
    }
}
