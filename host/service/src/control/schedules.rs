//! Schedules: made, changed, paused and previewed; and those that manifests make.

use serde::{Deserialize, Serialize};
use tidegate_engine::command;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::job::JobTarget;
use tidegate_engine::manifest::ResolvedSync;
use tidegate_engine::schedule::{
    Calendar, Definition, Due, Fire, Origin, Pause, Schedule, ScheduleId, ScheduleRule,
    manifest_schedule,
};
use tidegate_engine::store::{Backfill, PutSchedule, RefirePolicy, ScheduleFilter};
use tidegate_engine::{Name, Timestamp};

use super::local::Local;
use super::pages::Pages;
use crate::problem::{Kind, Problem, Result};

/// Moments of one backfill.
pub(crate) const BACKFILL_MAX: usize = 1_000;
/// Longest spread of a manifest's cron schedule: nobody expects `0 6 * * *` at seven.
const CRON_SPREAD_MS: u64 = 5 * 60 * 1000;
/// Connections whose schedules are made in one command of the store.
const PAGE: usize = 500;

/// A schedule to make, or to change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewSchedule {
    /// Of the one to change.
    pub id: Option<ScheduleId>,
    /// Change it only if it is this one.
    pub revision: Option<u64>,
    pub definition: Definition,
}

/// A part of a schedule's past to fire for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackfillRequest {
    pub schedule: ScheduleId,
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub until: Timestamp,
    pub again: RefirePolicy,
    /// Only say which moments there are.
    pub dry_run: bool,
}

/// What came of a backfill.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Backfilled {
    /// Moments of the range at which the schedule was due.
    pub moments: Vec<Timestamp>,
    /// Those of them that were queued.
    pub fires: Vec<Fire>,
}

fn new_schedule_id(now: Timestamp) -> Result<ScheduleId> {
    Ok(ScheduleId::from_parts(now, super::ids::next(now)?))
}

pub(super) async fn put(local: &Local, new: NewSchedule) -> Result<Schedule> {
    super::jobs::check_target(local, &new.definition.target).await?;
    let now = local.clock.now();
    let origin = match new.id {
        Some(id) => find(local, id).await?.origin,
        None => Origin::User,
    };
    let put = PutSchedule {
        id: match new.id {
            Some(id) => id,
            None => new_schedule_id(now)?,
        },
        definition: new.definition,
        origin,
        revision: new.revision,
        now,
    };
    let schedule = local.store.put_schedule(put).await?;
    local.schedules_changed.notify();
    Ok(schedule)
}

pub(super) async fn find(local: &Local, id: ScheduleId) -> Result<Schedule> {
    let schedule = local.store.schedule(id).await.map_err(Problem::from);
    schedule.map_err(|problem| problem.advise("list them with", command!("schedules list")))
}

pub(super) async fn list(local: &Local, filter: ScheduleFilter) -> Result<Vec<Schedule>> {
    if let Some(key) = &filter.connection {
        local.find_connection(key).await?;
    } else if let Some(integration) = &filter.integration {
        local.find_integration(integration).await?;
    }
    Ok(local.store.schedules(filter).await?)
}

pub(super) async fn pause(
    local: &Local,
    id: ScheduleId,
    note: String,
    until: Option<Timestamp>,
) -> Result<Schedule> {
    find(local, id).await?;
    let pause = new_pause(local, note, until)?;
    let schedule = local.store.pause_schedule(id, pause).await?;
    local.schedules_changed.notify();
    Ok(schedule)
}

/// A pause that somebody wants, from now on.
pub(super) fn new_pause(local: &Local, note: String, until: Option<Timestamp>) -> Result<Pause> {
    let at = local.clock.now();
    if note.len() > tidegate_engine::schedule::NOTE_BYTES_MAX {
        let most = tidegate_engine::schedule::NOTE_BYTES_MAX;
        return Err(Problem::invalid(format!("a note has at most {most} bytes")));
    }
    if until.is_some_and(|until| until <= at) {
        return Err(Problem::invalid("a pause can't end in the past"));
    }
    Ok(Pause {
        at,
        note,
        until,
        failures: None,
    })
}

pub(super) async fn resume(local: &Local, id: ScheduleId) -> Result<Schedule> {
    find(local, id).await?;
    let now = local.clock.now();
    let schedule = local.store.resume_schedule(id, now).await?;
    local.schedules_changed.notify();
    Ok(schedule)
}

/// Remove a schedule; one that a manifest makes would only come again.
pub(super) async fn remove(local: &Local, id: ScheduleId) -> Result<()> {
    let schedule = find(local, id).await?;
    if schedule.origin == Origin::Manifest {
        let message =
            format!("{id} is the default of its integration's manifest, and would be made again");
        return Err(Problem::new(Kind::Conflict, message)
            .advise("pause it with", command!("schedules pause {schedule}", id)));
    }
    let now = local.clock.now();
    Ok(local.store.remove_schedule(id, now).await?)
}

/// When `definition` is due after `after`; as the schedule `id`, if it is that of one.
pub(super) fn preview(
    id: Option<ScheduleId>,
    definition: &Definition,
    after: Timestamp,
    count: usize,
) -> Result<Vec<Due>> {
    definition.check().map_err(Problem::invalid)?;
    let id = id.unwrap_or_else(|| ScheduleId::from_bytes([0; 16]));
    let calendar = Calendar::new(id, definition).map_err(Problem::invalid)?;
    Ok(calendar.preview(after, count).collect())
}

pub(super) async fn backfill(local: &Local, request: BackfillRequest) -> Result<Backfilled> {
    let schedule = find(local, request.schedule).await?;
    let now = local.clock.now();
    if request.until > now {
        return Err(Problem::invalid(
            "a backfill ends in the past: what is due later fires by itself",
        ));
    }
    let mut definition = schedule.definition;
    // What it says of its start and end is about firing by itself.
    (definition.start_at, definition.end_at) = (None, None);
    let calendar = Calendar::new(request.schedule, &definition).map_err(Problem::invalid)?;
    let just_before = Timestamp(request.from.0.saturating_sub(1));
    let mut moments: Vec<Timestamp> = Vec::new();
    let mut next = calendar.next_after(just_before);
    while let Some(moment) = next.filter(|moment| *moment < request.until) {
        if moments.len() == BACKFILL_MAX {
            let message = format!("the range has more than {BACKFILL_MAX} moments");
            return Err(Problem::invalid(message).hint("take it in parts"));
        }
        moments.push(moment);
        next = calendar.next_after(moment);
    }
    if request.dry_run {
        let fires = Vec::new();
        return Ok(Backfilled { moments, fires });
    }
    let backfill = Backfill {
        schedule: request.schedule,
        moments: moments.clone(),
        again: request.again,
        now,
    };
    let fires = local.store.backfill(backfill).await?;
    local.jobs_changed.notify();
    Ok(Backfilled { moments, fires })
}

/// Make the schedules that the manifest of `integration` wants for these connections and that are not there.
pub(super) async fn ensure(
    local: &Local,
    integration: &Integration,
    connections: &[Connection],
) -> Result<usize> {
    if !integration.current.grants.auto_start {
        return Ok(0);
    }
    let now = local.clock.now();
    let puts = connections.iter().flat_map(|connection| {
        let config = Local::config(integration, connection);
        let syncs = integration.current.manifest.syncs_for(&config);
        let put = move |sync: ResolvedSync| put_default(connection, &sync, now);
        syncs.into_iter().filter_map(put)
    });
    let puts: Vec<PutSchedule> = puts.collect();
    let made = local.store.ensure_schedules(puts).await?;
    if made > 0 {
        local.schedules_changed.notify();
    }
    Ok(made)
}

/// The same for all connections of an integration, or of all.
pub(crate) async fn ensure_all(local: &Local, integration: Option<&Name>) -> Result<usize> {
    let mut pages = match integration {
        Some(name) => Pages::of(name, PAGE),
        None => Pages::new(PAGE),
    };
    let mut made = 0;
    while let Some(page) = pages.next(local).await? {
        let Some(first) = page.first() else {
            continue;
        };
        let integration = local.find_integration(&first.key.integration).await?;
        made += ensure(local, &integration, &page).await?;
    }
    Ok(made)
}

/// The manifest's default schedule of a sync of one connection, if it has one.
pub(super) fn put_default(
    connection: &Connection,
    sync: &ResolvedSync,
    now: Timestamp,
) -> Option<PutSchedule> {
    let when = ScheduleRule::of(sync.schedule.as_ref()?)?;
    let target = JobTarget::Sync {
        connection: connection.key.clone(),
        sync: sync.name.clone(),
        variant: Name::base_variant(),
        reset: false,
        empty: false,
        allow_deletes: false,
    };
    let spread_ms = match &when {
        ScheduleRule::Every { every } => every.ms().min(tidegate_engine::schedule::SPREAD_MS_MAX),
        _ => CRON_SPREAD_MS,
    };
    Some(PutSchedule {
        id: manifest_schedule(&connection.key, connection.created_at, &sync.name),
        definition: Definition {
            spread_ms,
            ..Definition::new(target, vec![when])
        },
        origin: Origin::Manifest,
        revision: None,
        now,
    })
}
