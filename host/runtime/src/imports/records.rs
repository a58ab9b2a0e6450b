//! `records`: the record store of the run's connection.

use tidegate_contract::tidegate::plugin::records::{
    Error, Host, HostWithStore, ModelOutcome, Page as GuestPage,
};
use tidegate_engine::record::{self, Counts, Page, PageError, Save};
use tidegate_engine::run::{Blame, Failure, FailureClass, Level};
use tidegate_engine::store::Commit;
use tidegate_engine::{Name, StoreError};
use wasmtime::component::Accessor;

use crate::state::{Imports, Live, RunState};

/// Most ids of one `get`: the answer is held in memory whole.
const GET_IDS_MAX: usize = 1000;

impl Host for RunState {}

impl<T: Send> HostWithStore<T> for Imports {
    async fn commit(
        accessor: &Accessor<T, Self>,
        pages: Vec<GuestPage>,
        checkpoint: Option<String>,
    ) -> wasmtime::Result<Result<Vec<ModelOutcome>, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.commit"))?;
        Ok(commit(&live, pages, checkpoint).await)
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        model: String,
        ids: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<String>>, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.get"))?;
        Ok(get(&live, &model, &ids).await)
    }

    async fn begin_snapshot(
        accessor: &Accessor<T, Self>,
        model: String,
        restart: bool,
    ) -> wasmtime::Result<Result<bool, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.begin-snapshot"))?;
        let model = match granted(&live, &model) {
            Ok(model) => model,
            Err(error) => return Ok(Err(error)),
        };
        let begun = live
            .store
            .begin_snapshot(live.run, live.fence, &model, restart)
            .await;
        Ok(begun.map_err(|error| store_error(&live, error)))
    }

    async fn end_snapshot(
        accessor: &Accessor<T, Self>,
        model: String,
        checkpoint: Option<String>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let live = accessor.with(|mut access| access.get().live("records.end-snapshot"))?;
        Ok(end_snapshot(&live, &model, checkpoint).await)
    }
}

async fn commit(
    live: &Live,
    pages: Vec<GuestPage>,
    checkpoint: Option<String>,
) -> Result<Vec<ModelOutcome>, Error> {
    let mut converted = Vec::with_capacity(pages.len());
    for page in pages {
        let save = page.save.into_iter().map(|saved| Save {
            id: saved.id,
            body: saved.body,
        });
        converted.push(Page {
            model: granted(live, &page.model)?,
            save: save.collect(),
            delete: page.delete,
        });
    }
    let repeated =
        record::prepare(&mut converted, &live.limits).map_err(|e| page_error(live, &e))?;
    if !repeated.is_empty() {
        let ids = repeated.join(", ");
        live.log.host(
            Level::Warn,
            &format!("ids more than once in one commit, the last of each was taken: {ids}"),
        );
    }
    let checkpoint = checked_checkpoint(live, checkpoint)?;
    let records = converted
        .iter()
        .map(|page| (page.save.len() + page.delete.len()) as u64)
        .sum();
    if live.meter.records(records) > live.limits.records_per_run {
        live.note(|notes| notes.limit = Some("records_per_run"));
        return Err(Error::Invalid(format!(
            "the run has saved more records than the limit records_per_run, {}",
            live.limits.records_per_run
        )));
    }
    let models: Vec<Name> = converted.iter().map(|page| page.model.clone()).collect();
    let advances = checkpoint.is_some();
    let commit = Commit {
        pages: converted,
        checkpoint,
        durability: live.durability,
        progress: live.meter.figures(),
        now: live.clock.now(),
    };
    let counts = live
        .store
        .commit_page(live.run, live.fence, commit)
        .await
        .map_err(|error| store_error(live, error))?;
    live.note(|notes| notes.advanced |= advances);
    live.meter.commit_done();
    Ok(models
        .iter()
        .zip(counts)
        .map(|(model, counts)| outcome(live, model, counts))
        .collect())
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
    }
}

async fn get(live: &Live, model: &str, ids: &[String]) -> Result<Vec<Option<String>>, Error> {
    let model = granted(live, model)?;
    if ids.len() > GET_IDS_MAX {
        return Err(Error::Invalid(format!(
            "{} ids; the most at once is {GET_IDS_MAX}",
            ids.len()
        )));
    }
    let records = live
        .store
        .records(&live.connection.model(model), ids)
        .await
        .map_err(|error| store_error(live, error))?;
    let live_body = |record: record::Record| match record.action {
        record::Action::Deleted => None,
        _ => record.body,
    };
    Ok(records
        .into_iter()
        .map(|record| record.and_then(live_body))
        .collect())
}

async fn end_snapshot(live: &Live, model: &str, checkpoint: Option<String>) -> Result<u64, Error> {
    let model = granted(live, model)?;
    let checkpoint = checked_checkpoint(live, checkpoint)?;
    let advances = checkpoint.is_some();
    let deleted = live
        .store
        .end_snapshot(
            live.run,
            live.fence,
            &model,
            live.guard,
            checkpoint,
            live.clock.now(),
        )
        .await
        .map_err(|error| store_error(live, error))?;
    live.note(|notes| notes.advanced |= advances);
    live.meter.commit_done();
    live.meter.committed(
        &model,
        Counts {
            deleted,
            ..Counts::default()
        },
    );
    Ok(deleted)
}

fn checked_checkpoint(live: &Live, checkpoint: Option<String>) -> Result<Option<String>, Error> {
    let Some(checkpoint) = checkpoint else {
        return Ok(None);
    };
    if !live.is_sync {
        return Err(Error::Invalid("only a sync has a checkpoint".to_owned()));
    }
    record::check_checkpoint(&checkpoint, &live.limits).map_err(|e| page_error(live, &e))?;
    Ok(Some(checkpoint))
}

fn granted(live: &Live, model: &str) -> Result<Name, Error> {
    let found = live.models.iter().find(|name| name.as_str() == model);
    found.cloned().ok_or_else(|| {
        let model: String = model.chars().take(100).collect();
        let known = live
            .models
            .iter()
            .map(Name::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        Error::Denied(format!(
            "the manifest does not list the model {model:?} here; it lists: {known}"
        ))
    })
}

fn page_error(live: &Live, error: &PageError) -> Error {
    let limit = match error {
        PageError::LongId { .. } => Some("record_id_bytes"),
        PageError::LongBody { .. } => Some("record_bytes"),
        PageError::ManyRecords { .. } => Some("records_per_commit"),
        PageError::ManyBytes { .. } => Some("commit_bytes"),
        PageError::LongCheckpoint { .. } => Some("checkpoint_bytes"),
        _ => None,
    };
    if let Some(limit) = limit {
        live.note(|notes| notes.limit = Some(limit));
    }
    Error::Invalid(error.to_string())
}

/// What the guest is told about a store error; what the operator must know is noted.
pub(super) fn store_error(live: &Live, error: StoreError) -> Error {
    match error {
        StoreError::Page(error) => page_error(live, &error),
        StoreError::Fenced { .. } => Error::Fenced(error.to_string()),
        StoreError::Guard(refusal) => {
            let message = refusal.to_string();
            live.note_sticky(Failure::new(
                FailureClass::Refused,
                Blame::Upstream,
                message.clone(),
            ));
            Error::Refused(message)
        }
        StoreError::NoSnapshot { .. } | StoreError::Busy { .. } | StoreError::Cursor(_) => {
            Error::Invalid(error.to_string())
        }
        StoreError::NotFound { .. } | StoreError::Exists { .. } => Error::Denied(error.to_string()),
        StoreError::Damaged { .. } | StoreError::Backend(_) => {
            let message = error.to_string();
            live.note_sticky(Failure::new(
                FailureClass::Internal,
                Blame::Host,
                message.clone(),
            ));
            Error::Other(message)
        }
    }
}
