//! Runs, the lists that name them, and their logs.

use tidegate_engine::StoreError;
use tidegate_engine::run::{LogLine, Run, RunId};

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow, Counters};
use crate::layout::{Corrupt, ends};

use super::checker::Checker;
use super::{ResumeAt, STEP};

/// Kinds of rows about runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Run,
    Running,
    OfIntegration,
    OfConnection,
    Log,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Run,
        Self::Running,
        Self::OfIntegration,
        Self::OfConnection,
        Self::Log,
    ];

    pub(super) fn first(self) -> Key {
        Key::new(match self {
            Self::Run => Tag::Run,
            Self::Running => Tag::Running,
            Self::OfIntegration => Tag::RunOfIntegration,
            Self::OfConnection => Tag::RunOfConnection,
            Self::Log => Tag::Log,
        })
    }
}

/// Check rows of one kind from `from` on.
pub(super) fn check(
    look: &mut Checker<'_>,
    kind: Kind,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("runs");
    let prefix = kind.first();
    let end = prefix.after_prefix();
    let counters: Option<Counters> = look
        .view
        .row(&keys::counters(), rows::decode)
        .unwrap_or(None);
    let last_fence = counters.map_or(u64::MAX, |counters| counters.fence);
    look.some_rows(from, &end, STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let rest = keys::rest(key, &prefix).map_err(bad)?;
        match kind {
            Kind::Run => {
                look.report.runs += 1;
                let id = keys::decode_run(rest).map_err(bad)?;
                let run: Run = rows::decode(value).map_err(bad)?;
                if run.id != id {
                    look.wrong_key(key, format!("its row is of {}", run.id));
                    return Ok(());
                }
                if run.fence.0 > last_fence {
                    look.wrong(format!("{id}"), format!("its fence is {}, and the counter says that {last_fence} was the last given out", run.fence.0));
                }
                listed(look, &run)
            }
            Kind::Running => {
                let id = keys::decode_run(rest).map_err(bad)?;
                match stored(look, id)? {
                    Some(run) if run.end.is_none() => {}
                    Some(_) => look.wrong(format!("{id}"), "it is marked as running, and has ended"),
                    None => look.wrong(format!("{id}"), "it is marked as running, and there is no such run"),
                }
                Ok(())
            }
            Kind::OfIntegration => {
                let (name, end) = split_last(rest, 17).map_err(bad)?;
                let name = keys::decode_name(name).map_err(bad)?;
                let (end, id) = keys::split_end(end).map_err(bad)?;
                let id = RunId::from_bytes(id);
                match stored(look, id)? {
                    Some(run) if run.target.connection().integration == name => has_come_to(look, &run, end),
                    Some(_) => look.wrong(format!("{id}"), format!("it is listed under integration {name}, which it is not of")),
                    None => look.wrong(format!("{id}"), format!("it is listed under integration {name}, and there is no such run")),
                }
                Ok(())
            }
            Kind::OfConnection => {
                let (number, end) = keys::split_number(rest).map_err(bad)?;
                let (end, id) = keys::split_end(end).map_err(bad)?;
                let id = RunId::from_bytes(id);
                let Some(run) = stored(look, id)? else {
                    look.wrong(format!("{id}"), format!("it is listed under connection number {number}, and there is no such run"));
                    return Ok(());
                };
                has_come_to(look, &run, end);
                if connection_of(look, &run)?.is_some_and(|own| own != number) && !is_dropped(look, number)? {
                    look.wrong(format!("{id}"), format!("it is listed under connection number {number}, which it is not of"));
                }
                Ok(())
            }
            Kind::Log => log_lines(look, key, rest, value),
        }
    })
}

fn log_lines(
    look: &mut Checker<'_>,
    key: &[u8],
    rest: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    let bad = |corrupt| damaged(key, corrupt);
    let (id, first) = rest
        .split_at_checked(16)
        .ok_or(Corrupt("a key without the run id it should have"))
        .map_err(bad)?;
    let id = keys::decode_run(id).map_err(bad)?;
    let (first, _) = keys::split_number(first).map_err(bad)?;
    let lines: Vec<LogLine> = rows::decode(value).map_err(bad)?;
    if lines.first().map(|line| line.index) != Some(first)
        || !lines.is_sorted_by(|a, b| a.index < b.index)
    {
        look.wrong(
            format!("{id}"),
            format!("its log lines from {first} are not in their order"),
        );
    }
    if look.view.get(&keys::run(id))?.is_none() {
        look.wrong(
            format!("{id}"),
            "it has log lines, and there is no such run",
        );
    }
    Ok(())
}

/// A run is in the lists of its integration and its connection, and among the running ones as long
/// as it has no end.
fn listed(look: &mut Checker<'_>, run: &Run) -> Result<(), StoreError> {
    let integration = &run.target.connection().integration;
    let id = run.id;
    if run.end.is_none() && look.view.get(&keys::running(id))?.is_none() {
        look.wrong(
            format!("{id}"),
            "it has no end, and is not marked as running",
        );
    }
    let end = ends::of_run(run);
    let list = keys::runs_of_integration(integration).end(end).run(id);
    if look.view.get(&list)?.is_none() {
        look.wrong(
            format!("{id}"),
            format!("the list of integration {integration} lacks it"),
        );
    }
    match connection_of(look, run)? {
        Some(number) => {
            let list = keys::runs_of_connection(number).end(end).run(id);
            if look.view.get(&list)?.is_none() && !any_dropped(look) {
                let connection = run.target.connection();
                look.wrong(
                    format!("{id}"),
                    format!("the list of connection {connection} lacks it"),
                );
            }
        }
        None => {
            if !any_dropped(look) {
                look.wrong(
                    format!("{id}"),
                    format!("its connection {} is not there", run.target.connection()),
                );
            }
        }
    }
    Ok(())
}

/// A run is listed among those that have come to the same.
fn has_come_to(look: &mut Checker<'_>, run: &Run, end: u8) {
    if ends::of_run(run) != end {
        let what = format!(
            "it is {}, and a list has it as something else",
            run.outcome()
        );
        look.wrong(format!("{}", run.id), what);
    }
}

/// The run; one that can't be read has been reported where it is.
fn stored(look: &Checker<'_>, id: RunId) -> Result<Option<Run>, StoreError> {
    look.view.row(&keys::run(id), rows::decode)
}

/// The number of a run's connection, if that is still there.
fn connection_of(look: &Checker<'_>, run: &Run) -> Result<Option<u64>, StoreError> {
    let key = run.target.connection();
    let key = keys::connection(&key.integration, &key.connection);
    let row: Option<ConnectionRow> = look.view.row(&key, rows::decode)?;
    Ok(row.map(|row| row.number))
}

/// Whether a connection is being removed. Its runs go step by step, and another one may have its
/// name by then.
fn any_dropped(look: &Checker<'_>) -> bool {
    look.view
        .prefix(&keys::dropped_connections())
        .next()
        .is_some()
}

fn is_dropped(look: &Checker<'_>, connection: u64) -> Result<bool, StoreError> {
    let row = keys::dropped_connections().number(connection);
    Ok(look.view.get(&row)?.is_some())
}

fn split_last(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), Corrupt> {
    let bad = Corrupt("a key without the run id it should have");
    let first = bytes.len().checked_sub(len).ok_or(bad)?;
    bytes.split_at_checked(first).ok_or(bad)
}
