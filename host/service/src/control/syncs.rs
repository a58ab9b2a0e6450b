//! The syncs of a connection: what they write, how far they have read, when they run and ran; starting and
//! pausing them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidegate_engine::command;
use tidegate_engine::integration::Connection;
use tidegate_engine::job::JobTarget;
use tidegate_engine::manifest::ResolvedSync;
use tidegate_engine::run::{Run, Target};
use tidegate_engine::schedule::{Pause, Schedule};
use tidegate_engine::store::{ModelStats, RunFilter, ScheduleFilter};
use tidegate_engine::{ConnectionKey, Name, Store, StoreError, Timestamp};

use super::deploy::find_sync;
use super::local::Local;
use super::schedules::{new_pause, put_default};
use crate::problem::{Kind, Problem, Result};

/// Schedules of a connection that are read at once.
const SCHEDULES: usize = 500;
/// Runs of a connection that are read at once.
const RUNS: usize = 100;
/// Runs among which the last one of each sync is looked for: reading so many takes tens of milliseconds.
const RUNS_SEEN: usize = 10_000;

/// A sync of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncStatus {
    pub sync: Name,
    /// The models that it writes, and how many records these have, whoever wrote them.
    pub models: Vec<(Name, ModelStats)>,
    /// By variant, JSON text.
    pub checkpoints: Vec<(Name, String)>,
    /// Oldest first.
    pub schedules: Vec<Schedule>,
    /// Among the connection's last 10,000 runs.
    pub last_run: Option<Run>,
}

pub(super) async fn list(local: &Local, key: &ConnectionKey) -> Result<Vec<SyncStatus>> {
    let connection = local.find_connection(key).await?;
    let integration = local.find_integration(&key.integration).await?;
    let config = Local::config(&integration, &connection);
    let mut syncs = integration.current.manifest.syncs_for(&config);
    syncs.sort_by(|a, b| a.name.cmp(&b.name));
    status(local, key, syncs).await
}

/// Pause all schedules of a sync. Those that are paused just so stay as they are.
pub(super) async fn pause(
    local: &Local,
    key: &ConnectionKey,
    sync: &Name,
    note: String,
    until: Option<Timestamp>,
) -> Result<SyncStatus> {
    let (_, sync) = find(local, key, sync).await?;
    let pause = new_pause(local, note, until)?;
    for schedule in schedules_of(local, key, Some(&sync.name)).await? {
        let was = schedule.progress.paused.as_ref();
        if schedule.progress.completed || was.is_some_and(|was| is_same(was, &pause)) {
            continue;
        }
        let paused = local.store.pause_schedule(schedule.id, pause.clone());
        unless_removed(paused.await)?;
    }
    local.schedules_changed.notify();
    one(local, key, sync).await
}

/// Whether a pause is like another one, but for when it began.
fn is_same(pause: &Pause, other: &Pause) -> bool {
    let of = |pause: &Pause| (pause.note.clone(), pause.until, pause.failures);
    of(pause) == of(other)
}

/// Resume the schedules of a sync; make the manifest's default if none of them is ever due again.
pub(super) async fn start(local: &Local, key: &ConnectionKey, sync: &Name) -> Result<SyncStatus> {
    let (connection, sync) = find(local, key, sync).await?;
    let now = local.clock.now();
    let mut goes_on = false;
    for schedule in schedules_of(local, key, Some(&sync.name)).await? {
        let resumed = match schedule.progress.paused.is_some() {
            true => unless_removed(local.store.resume_schedule(schedule.id, now).await)?,
            false => Some(schedule),
        };
        goes_on |= resumed.is_some_and(|schedule| !schedule.progress.completed);
    }
    if !goes_on {
        start_default(local, &connection, &sync, now).await?;
    }
    local.schedules_changed.notify();
    one(local, key, sync).await
}

async fn start_default(
    local: &Local,
    connection: &Connection,
    sync: &ResolvedSync,
    now: Timestamp,
) -> Result<()> {
    let ConnectionKey {
        integration,
        connection: name,
    } = &connection.key;
    if let Some(put) = put_default(connection, sync, now) {
        let id = put.id;
        local.store.ensure_schedules(vec![put]).await?;
        // It may have been there, changed to one that is over.
        if !local.store.schedule(id).await?.progress.completed {
            return Ok(());
        }
    }
    let message = format!(
        "sync {} of {} has no schedule that is due again, and its manifest has no default to start",
        sync.name, connection.key
    );
    Err(Problem::new(Kind::Conflict, message).advise(
        "make one, such as",
        command!(
            "schedules add {integration}/{sync} --connection {connection} --every 1h",
            integration,
            sync.name,
            name
        ),
    ))
}

/// What a command made of a schedule, unless somebody has removed it meanwhile.
fn unless_removed(done: std::result::Result<Schedule, StoreError>) -> Result<Option<Schedule>> {
    match done {
        Err(StoreError::NotFound { .. }) => Ok(None),
        done => Ok(Some(done?)),
    }
}

async fn find(
    local: &Local,
    key: &ConnectionKey,
    sync: &Name,
) -> Result<(Connection, ResolvedSync)> {
    let integration = local.find_integration(&key.integration).await?;
    let connection = local.find_connection(key).await?;
    let config = Local::config(&integration, &connection);
    let sync = find_sync(&integration, &config, sync)?;
    Ok((connection, sync))
}

async fn one(local: &Local, key: &ConnectionKey, sync: ResolvedSync) -> Result<SyncStatus> {
    let status = status(local, key, vec![sync]).await?.into_iter().next();
    status.ok_or_else(|| Problem::internal("a sync without a status"))
}

async fn status(
    local: &Local,
    key: &ConnectionKey,
    syncs: Vec<ResolvedSync>,
) -> Result<Vec<SyncStatus>> {
    let counts: BTreeMap<Name, ModelStats> = local.store.models(key).await?.into_iter().collect();
    let checkpoints = local.store.checkpoints(key).await?;
    let schedules = schedules_of(local, key, None).await?;
    let names = syncs.iter().map(|sync| sync.name.clone()).collect();
    let mut runs = last_runs(&*local.store, key, names, (RUNS, RUNS_SEEN)).await?;
    let status = syncs.into_iter().map(|sync| {
        let read = checkpoints.iter().filter(|(key, _)| key.sync == sync.name);
        let own = schedules.iter().filter(|own| is_of(own, &sync.name));
        let counted = sync.models.into_iter().map(|model| {
            let stats = counts.get(&model).copied().unwrap_or_default();
            (model, stats)
        });
        SyncStatus {
            models: counted.collect(),
            checkpoints: read
                .map(|(key, checkpoint)| (key.variant.clone(), checkpoint.clone()))
                .collect(),
            schedules: own.cloned().collect(),
            last_run: runs.remove(&sync.name),
            sync: sync.name,
        }
    });
    Ok(status.collect())
}

fn is_of(schedule: &Schedule, name: &Name) -> bool {
    matches!(&schedule.definition.target, JobTarget::Sync { sync, .. } if sync == name)
}

/// The schedules of one sync of a connection, or of all of them.
async fn schedules_of(
    local: &Local,
    key: &ConnectionKey,
    sync: Option<&Name>,
) -> Result<Vec<Schedule>> {
    let mut own = Vec::new();
    let mut after = None;
    loop {
        let filter = ScheduleFilter {
            connection: Some(key.clone()),
            after,
            limit: SCHEDULES,
            ..ScheduleFilter::default()
        };
        let page = local.store.schedules(filter).await?;
        let is_last = page.len() < SCHEDULES;
        after = page.last().map(|schedule| schedule.id);
        own.extend(page.into_iter().filter(|schedule| match sync {
            Some(sync) => is_of(schedule, sync),
            None => matches!(schedule.definition.target, JobTarget::Sync { .. }),
        }));
        if is_last {
            return Ok(own);
        }
    }
}

/// The last run of each sync that is `wanted`, among the last `most` of the connection, of which `page` are
/// read at once: nobody writes meanwhile.
async fn last_runs(
    store: &dyn Store,
    key: &ConnectionKey,
    mut wanted: BTreeSet<Name>,
    (page, most): (usize, usize),
) -> Result<BTreeMap<Name, Run>> {
    let mut last = BTreeMap::new();
    let mut before = None;
    let mut seen = 0;
    while !wanted.is_empty() && seen < most {
        let filter = RunFilter {
            connection: Some(key.clone()),
            before,
            limit: page,
            ..RunFilter::default()
        };
        let runs = store.runs(filter).await?;
        let is_last = runs.len() < page;
        seen += runs.len();
        before = runs.last().map(|run| run.id);
        for run in runs {
            let found = match &run.target {
                Target::Sync(sync) => wanted.take(&sync.sync),
                _ => None,
            };
            if let Some(name) = found {
                last.insert(name, run);
            }
        }
        if is_last {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_engine::SyncKey;
    use tidegate_engine::integration::NewDeployment;
    use tidegate_engine::manifest::Manifest;
    use tidegate_engine::run::{Figures, NewRun, Outcome, RunEnd, RunId, Trigger};
    use tidegate_engine::store::parts::*;
    use tidegate_store_memory::MemoryStore;

    use super::*;

    /// The connection's runs, oldest first: of a sync, or of an action.
    const HISTORY: [Option<&str>; 8] = [
        Some("deals"),
        Some("contacts"),
        None,
        None,
        Some("contacts"),
        None,
        None,
        None,
    ];

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn run_id(number: usize) -> RunId {
        RunId::from_parts(Timestamp(1000 + number as u64), 1)
    }

    async fn store(key: &ConnectionKey) -> MemoryStore {
        let store = MemoryStore::default();
        let digest = store.put_component(b"component".to_vec()).await.unwrap();
        let manifest = json!({"manifest": 1, "name": "crm", "version": "0.1.0"}).to_string();
        let deployment = NewDeployment {
            integration: key.integration.clone(),
            digest,
            manifest: Manifest::parse(&manifest).unwrap(),
            grants: Default::default(),
            config: Default::default(),
            now: Timestamp(1),
        };
        store.deploy(deployment).await.unwrap();
        let connection: Connection = serde_json::from_value(json!({
            "key": key, "base_url": "https://api.example/", "config": {}, "metadata": {},
            "secret_names": [], "sealed_secrets": [], "created_at": 1, "updated_at": 1,
        }))
        .unwrap();
        store.add_connection(connection).await.unwrap();
        for (number, sync) in HISTORY.into_iter().enumerate() {
            let target = match sync {
                Some(sync) => Target::Sync(SyncKey {
                    connection: key.clone(),
                    sync: name(sync),
                    variant: Name::base_variant(),
                }),
                None => Target::Action {
                    connection: key.clone(),
                    action: name("push"),
                },
            };
            let now = Timestamp(1000 + number as u64);
            let id = run_id(number);
            let new = NewRun {
                id,
                target,
                plugin: digest,
                plugin_version: "1".into(),
                trigger: Trigger::Manual,
                attempt: 1,
                job: None,
                reset: false,
                now,
            };
            let fence = store.start_run(new).await.unwrap().fence;
            let end = RunEnd {
                at: now,
                outcome: Outcome::Success,
                failure: None,
                figures: Figures::default(),
            };
            store.finish_run(id, fence, end).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn the_last_run_of_a_sync_is_found_behind_others() {
        let key = ConnectionKey {
            integration: name("crm"),
            connection: "acme".parse().unwrap(),
        };
        let store = store(&key).await;
        // (page, most, runs of contacts, deals and a sync that never ran)
        let rows = [
            (100, 100, [Some(4), Some(0), None]),
            (2, 100, [Some(4), Some(0), None]),
            (1, 8, [Some(4), Some(0), None]),
            (2, 4, [Some(4), None, None]),
            (3, 3, [None, None, None]),
        ];
        for (page, most, numbers) in rows {
            let names = ["contacts", "deals", "notes"].map(name);
            let wanted = BTreeSet::from(names.clone());
            let found = last_runs(&store, &key, wanted, (page, most)).await.unwrap();
            let found = names.map(|name| found.get(&name).map(|run| run.id));
            assert_eq!(
                found,
                numbers.map(|number| number.map(run_id)),
                "{page} {most}"
            );
        }
    }
}
