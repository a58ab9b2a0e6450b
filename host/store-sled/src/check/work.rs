//! Schedules, fires and jobs, and the lists that name them.

use tidegate_engine::StoreError;
use tidegate_engine::job::{Job, JobId, JobState};
use tidegate_engine::run::Run;
use tidegate_engine::schedule::{Fire, Schedule, ScheduleId};

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, ConnectionRow};
use crate::layout::{Corrupt, ends};

use super::checker::Checker;
use super::{ResumeAt, STEP};

/// Kinds of rows about schedules and jobs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Schedule,
    ScheduleOf,
    Fire,
    Job,
    JobOfIntegration,
    JobOf,
    Queued,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Schedule,
        Self::ScheduleOf,
        Self::Fire,
        Self::Job,
        Self::JobOfIntegration,
        Self::JobOf,
        Self::Queued,
    ];

    pub(super) fn first(self) -> Key {
        Key::new(match self {
            Self::Schedule => Tag::Schedule,
            Self::ScheduleOf => Tag::ScheduleOfConnection,
            Self::Fire => Tag::Fire,
            Self::Job => Tag::Job,
            Self::JobOfIntegration => Tag::JobOfIntegration,
            Self::JobOf => Tag::JobOfConnection,
            Self::Queued => Tag::Queued,
        })
    }
}

/// Check rows of one kind from `from` on.
pub(super) fn check(
    look: &mut Checker<'_>,
    kind: Kind,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("schedules and jobs");
    let prefix = kind.first();
    let end = prefix.after_prefix();
    look.some_rows(from, &end, STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let rest = keys::rest(key, &prefix).map_err(bad)?;
        match kind {
            Kind::Schedule => {
                let row: Schedule = rows::decode(value).map_err(bad)?;
                if keys::decode_id(rest).map_err(bad)? != row.id.to_bytes() {
                    look.wrong_key(key, format!("its row is of {}", row.id));
                    return Ok(());
                }
                schedule(look, &row)
            }
            Kind::ScheduleOf => {
                let (number, id) = keys::split_number(rest).map_err(bad)?;
                let id = ScheduleId::from_bytes(keys::decode_id(id).map_err(bad)?);
                let row = look.view.get(&keys::schedule(id))?;
                if row.is_none() && !is_dropped(look, number)? {
                    look.wrong_key(key, format!("it lists {id}, and there is no such schedule"));
                }
                Ok(())
            }
            Kind::Fire => {
                let fire: Fire = rows::decode(value).map_err(bad)?;
                if *key != keys::fire(fire.schedule, fire.scheduled_for).as_ref() {
                    look.wrong_key(key, format!("its row is of {}", fire.schedule));
                }
                let row = look.view.get(&keys::schedule(fire.schedule))?;
                if row.is_none() && !any_dropped(look) && !is_removed(look, fire.schedule)? {
                    look.wrong_key(key, format!("there is no schedule {}", fire.schedule));
                }
                Ok(())
            }
            Kind::Job => {
                let row: Job = rows::decode(value).map_err(bad)?;
                if keys::decode_id(rest).map_err(bad)? != row.id.to_bytes() {
                    look.wrong_key(key, format!("its row is of {}", row.id));
                    return Ok(());
                }
                job(look, &row)
            }
            Kind::JobOf => {
                let (number, end) = keys::split_number(rest).map_err(bad)?;
                let (end, id) = keys::split_end(end).map_err(bad)?;
                let is_dropped = is_dropped(look, number)?;
                lists(look, key, end, JobId::from_bytes(id), is_dropped)
            }
            Kind::JobOfIntegration => {
                let name = rest.len().checked_sub(17);
                let (_, end) = name
                    .and_then(|name| rest.split_at_checked(name))
                    .ok_or_else(|| bad(Corrupt("a key without the job id it should have")))?;
                let (end, id) = keys::split_end(end).map_err(bad)?;
                let is_dropped = any_dropped(look);
                lists(look, key, end, JobId::from_bytes(id), is_dropped)
            }
            Kind::Queued => {
                let id = JobId::from_bytes(keys::decode_id(rest).map_err(bad)?);
                let row: Option<Job> = look.view.row(&keys::job(id), rows::decode)?;
                if row.is_none_or(|job| !job.state.is_active()) {
                    look.wrong(
                        format!("{id}"),
                        "it is marked as queued, and neither waits nor runs",
                    );
                }
                Ok(())
            }
        }
    })
}

/// A schedule is in the list of its connection.
fn schedule(look: &mut Checker<'_>, row: &Schedule) -> Result<(), StoreError> {
    let connection = row.definition.target.connection();
    let stored = keys::connection(&connection.integration, &connection.connection);
    let found: Option<ConnectionRow> = look.view.row(&stored, rows::decode)?;
    let Some(found) = found else {
        look.wrong(
            format!("{}", row.id),
            format!("its connection {connection} is not there"),
        );
        return Ok(());
    };
    let list = keys::schedules_of_connection(found.number).raw(&row.id.to_bytes());
    if look.view.get(&list)?.is_none() {
        look.wrong(
            format!("{}", row.id),
            format!("the list of connection {connection} lacks it"),
        );
    }
    Ok(())
}

/// A list names jobs that are there and have come to `end`, unless they are about to go.
fn lists(
    look: &mut Checker<'_>,
    key: &[u8],
    end: u8,
    id: JobId,
    is_dropped: bool,
) -> Result<(), StoreError> {
    let row: Option<Job> = look.view.row(&keys::job(id), rows::decode)?;
    match row {
        None if !is_dropped => {
            look.wrong_key(key, format!("it lists {id}, and there is no such job"));
        }
        Some(job) if ends::of_job(&job) != end => {
            let state = job.state.as_str();
            let what = format!("it lists {id} as something else than {state}, which that is");
            look.wrong_key(key, what);
        }
        _ => {}
    }
    Ok(())
}

/// A job is in the lists of its integration and its connection, among the queued ones as long as it waits or runs, and what
/// runs has a run.
fn job(look: &mut Checker<'_>, row: &Job) -> Result<(), StoreError> {
    let connection = row.target.connection();
    let stored = keys::connection(&connection.integration, &connection.connection);
    let found: Option<ConnectionRow> = look.view.row(&stored, rows::decode)?;
    let id = format!("{}", row.id);
    let end = ends::of_job(row);
    let integration = keys::jobs_of_integration(&connection.integration).end(end);
    if look
        .view
        .get(&integration.raw(&row.id.to_bytes()))?
        .is_none()
        && !any_dropped(look)
    {
        let integration = &connection.integration;
        look.wrong(
            &id,
            format!("the list of integration {integration} lacks it"),
        );
    }
    let list = found.map(|found| keys::jobs_of_connection(found.number).end(end));
    let list = list.map(|list| list.raw(&row.id.to_bytes()));
    let listed = list.map(|list| look.view.get(&list)).transpose()?.flatten();
    if listed.is_none() {
        if !any_dropped(look) {
            look.wrong(id, format!("the list of connection {connection} lacks it"));
        }
        return Ok(());
    }
    let marked = look.view.get(&keys::queued(row.id))?.is_some();
    if row.state.is_active() && !marked {
        look.wrong(&id, "it waits or runs, and is not marked as queued");
    }
    if let (JobState::Running { .. }, Some(run)) = (&row.state, row.run) {
        let stored: Option<Run> = look.view.row(&keys::run(run), rows::decode)?;
        if stored.is_none_or(|run| run.end.is_some() || run.job != Some(row.id)) {
            look.wrong(&id, format!("{run} does not run it"));
        }
    }
    Ok(())
}

/// Whether a connection is being removed: its rows go step by step.
fn any_dropped(look: &Checker<'_>) -> bool {
    look.view
        .prefix(&keys::dropped_connections())
        .next()
        .is_some()
}

/// Whether a schedule was removed, and its fires go step by step.
fn is_removed(look: &Checker<'_>, id: ScheduleId) -> Result<bool, StoreError> {
    let row = keys::dropped_schedules().raw(&id.to_bytes());
    Ok(look.view.get(&row)?.is_some())
}

fn is_dropped(look: &Checker<'_>, connection: u64) -> Result<bool, StoreError> {
    let row = keys::dropped_connections().number(connection);
    Ok(look.view.get(&row)?.is_some())
}
