//! Reads of everything but records: integrations, connections, runs, logs, checkpoints.

pub(crate) mod newest;

use tidegate_engine::api_key::ApiKey;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::run::{LogLine, Run, RunId};
use tidegate_engine::store::RunFilter;
use tidegate_engine::{ConnectionKey, ConnectionName, Name, StoreError, SyncKey};

use crate::disk::{Rows, View, damaged};
use crate::layout::ends;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow, SyncRow};
use crate::read::connection;
use newest::{Newest, by_end, of_integrations};

/// Rows that one view of a list looks at: writing waits for it.
pub(crate) const SCAN: usize = 500;

pub(crate) fn not_found(what: &'static str, name: &impl ToString) -> StoreError {
    StoreError::NotFound {
        what,
        name: name.to_string(),
    }
}

pub(crate) fn integrations(
    view: &View<'_>,
    after: Option<&Name>,
    limit: usize,
) -> Result<Vec<Integration>, StoreError> {
    let prefix = Key::new(Tag::Integration);
    let first = after.map_or_else(
        || prefix.clone(),
        |after| keys::integration(after).after_prefix(),
    );
    let items = view.range(&first, &prefix.after_prefix()).take(limit);
    items
        .map(|item| {
            let (key, value) = item?;
            rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
        })
        .collect()
}

pub(crate) fn api_keys(view: &View<'_>) -> Result<Vec<ApiKey>, StoreError> {
    let items = view.prefix(&Key::new(Tag::ApiKey));
    items
        .map(|item| {
            let (key, value) = item?;
            rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
        })
        .collect()
}

pub(crate) fn connections(
    view: &View<'_>,
    integration: &Name,
    after: Option<&ConnectionName>,
    limit: usize,
) -> Result<Vec<Connection>, StoreError> {
    if view.get(&keys::integration(integration))?.is_none() {
        return Err(not_found("integration", integration));
    }
    let prefix = keys::connections(integration);
    let first = after.map_or_else(
        || prefix.clone(),
        |after| keys::connection(integration, after).after_prefix(),
    );
    let items = view.range(&first, &prefix.after_prefix()).take(limit);
    items
        .map(|item| {
            let (key, value) = item?;
            let row: ConnectionRow =
                rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
            Ok(row.connection)
        })
        .collect()
}

pub(crate) fn checkpoint(view: &Rows<'_>, key: &SyncKey) -> Result<Option<String>, StoreError> {
    let connection = connection(view, &key.connection)?.number;
    let row = view.row(
        &keys::sync(connection, &key.sync, &key.variant),
        rows::decode,
    )?;
    let Some(SyncRow { number, .. }) = row else {
        return Ok(None);
    };
    view.row(&keys::checkpoint(number), keys::decode_text)
}

pub(crate) fn run(view: &Rows<'_>, id: RunId) -> Result<Run, StoreError> {
    let run = view.row(&keys::run(id), rows::decode)?;
    let run: Run = run.ok_or_else(|| not_found("run", &id))?;
    if !is_listed(view, &run)? {
        return Err(not_found("run", &id));
    }
    Ok(run)
}

/// Whether a connection was dropped whose runs may still be there.
fn purging(view: &View<'_>) -> Result<bool, StoreError> {
    let first = view.prefix(&keys::dropped_connections()).next();
    Ok(first.transpose()?.is_some())
}

/// Whether a run is one of a connection that is there: one of the same name may have been dropped.
pub(crate) fn is_listed(view: &Rows<'_>, run: &Run) -> Result<bool, StoreError> {
    let row = match connection(view, run.target.connection()) {
        Err(StoreError::NotFound { .. }) => return Ok(false),
        row => row?,
    };
    let list = keys::runs_of_connection(row.number).end(ends::of_run(run));
    Ok(view.get(&list.run(run.id))?.is_some())
}

/// At most `wanted` runs from before `before` on, newest first, by the narrowest lists that the filter allows;
/// and where to go on, unless there are no more.
pub(crate) fn some_runs(
    view: &View<'_>,
    filter: &RunFilter,
    before: Option<RunId>,
    wanted: usize,
) -> Result<(Vec<Run>, Option<RunId>), StoreError> {
    let other_integration = |key: &ConnectionKey| {
        filter
            .integration
            .as_ref()
            .is_some_and(|integration| key.integration != *integration)
    };
    let lists = match (&filter.connection, &filter.integration) {
        (Some(key), _) if other_integration(key) => return Ok((Vec::new(), None)),
        (Some(key), _) => match connection(view, key) {
            Ok(row) => vec![keys::runs_of_connection(row.number)],
            Err(StoreError::NotFound { .. }) => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        },
        (None, Some(integration)) => vec![keys::runs_of_integration(integration)],
        (None, None) if filter.outcome.is_none() => Vec::new(),
        (None, None) => of_integrations(view, keys::runs_of_integration)?,
    };
    let lists = match (lists.is_empty(), &filter.outcome) {
        (true, None) => vec![Key::new(Tag::Run)],
        (_, outcome) => by_end(&lists, &ends::of_runs(outcome.as_deref())),
    };
    let purging = purging(view)?;
    let mut runs = Vec::new();
    let mut last = before;
    let ids = Newest::of(view, lists, before.map(RunId::to_bytes));
    for (count, id) in ids.enumerate() {
        if runs.len() >= wanted || count >= SCAN {
            return Ok((runs, last));
        }
        let id = RunId::from_bytes(id?);
        last = Some(id);
        let run: Option<Run> = view.row(&keys::run(id), rows::decode)?;
        let run = run.ok_or_else(|| not_found("run", &id))?;
        if !purging || is_listed(view, &run)? {
            runs.push(run);
        }
    }
    Ok((runs, None))
}

pub(crate) fn logs(
    view: &View<'_>,
    id: RunId,
    from: u64,
    limit: usize,
) -> Result<Vec<LogLine>, StoreError> {
    run(view, id)?;
    let prefix = keys::logs(id);
    let wanted = prefix.clone().number(from);
    // The chunk that has `from` may begin before it.
    let first = match view.at_or_before(&prefix, &wanted)? {
        Some((key, _)) => Key::stored(&key),
        None => wanted,
    };
    let mut lines: Vec<LogLine> = Vec::new();
    for item in view.range(&first, &prefix.after_prefix()) {
        let (key, value) = item?;
        let chunk: Vec<LogLine> = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
        let wanted = chunk.into_iter().filter(|line| line.index >= from);
        lines.extend(wanted.take(limit - lines.len()));
        if lines.len() >= limit {
            break;
        }
    }
    Ok(lines)
}

/// The index after the last line of a run's log: chunks are in the order of their lines, and no line is in two.
pub(crate) fn next_line(view: &View<'_>, id: RunId) -> Result<u64, StoreError> {
    let prefix = keys::logs(id);
    let Some((key, value)) = view.at_or_before(&prefix, &prefix.clone().number(u64::MAX))? else {
        return Ok(0);
    };
    let chunk: Vec<Index> = rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))?;
    Ok(chunk.last().map_or(0, |last| last.index.saturating_add(1)))
}

/// Of a line, its place only.
#[derive(serde::Deserialize)]
struct Index {
    index: u64,
}

pub(crate) fn checkpoints(
    view: &View<'_>,
    key: &ConnectionKey,
) -> Result<Vec<(SyncKey, String)>, StoreError> {
    let prefix = keys::syncs(connection(view, key)?.number);
    let mut found = Vec::new();
    for item in view.prefix(&prefix) {
        let (stored, value) = item?;
        let bad = |corrupt| damaged(&stored, corrupt);
        let names = keys::rest(&stored, &prefix).and_then(keys::decode_two_names);
        let (sync, variant) = names.map_err(bad)?;
        let row: SyncRow = rows::decode(&value).map_err(bad)?;
        let checkpoint = view.row(&keys::checkpoint(row.number), keys::decode_text)?;
        let sync = SyncKey {
            connection: key.clone(),
            sync,
            variant,
        };
        found.extend(checkpoint.map(|checkpoint| (sync, checkpoint)));
    }
    Ok(found)
}
