//! What a plugin is told of its connections: that one is there, as a job; that one goes, before it does.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tidegate_engine::ConnectionKey;
use tidegate_engine::integration::{Connection, Integration};
use tidegate_engine::job::{JobTarget, NewJob, Priority, Retry};
use tidegate_engine::limits::{EVENT_REMOVED_MS, EVENTS_REMOVED_MS};
use tidegate_engine::run::{Outcome, Run, Target};
use tidegate_engine::store::{Durability, RunFilter};
use tidegate_engine::upkeep::Scope;
use tokio::time::Instant;

use super::SilentObserver;
use super::jobs::new_job_id;
use super::launch::{self, RunRequest, RunSite};
use super::local::Local;
use super::pages::{PAGE, Pages};
use crate::notice::warn;
use crate::problem::{Problem, Result};

pub(super) const CREATED: &str = "connection-created";
const REMOVED: &str = "connection-removed";
/// Of each event.
pub(super) const PAYLOAD: &str = "{}";
/// Connections of one integration that are told at the same time.
const AT_ONCE: usize = 8;

/// What is launched for an event.
pub(super) fn launch(connection: &ConnectionKey, event: &str) -> RunRequest {
    RunRequest {
        target: Target::Event {
            connection: connection.clone(),
            event: event.to_owned(),
        },
        // It reads and writes no records.
        models: Vec::new(),
        reset: false,
        empty: false,
        allow_deletes: false,
        durability: Durability::Durable,
        input: Some(PAYLOAD.to_owned()),
        key: None,
        output_check: None,
        record: None,
    }
}

/// Jobs that tell the plugin of these new connections, if it wants to know.
pub(super) fn created(
    local: &Local,
    integration: &Integration,
    connections: &[Connection],
) -> Result<Vec<NewJob>> {
    if !integration.current.manifest.answers(CREATED) {
        return Ok(Vec::new());
    }
    let now = local.clock.now();
    let job = |connection: &Connection| {
        Ok(NewJob {
            id: new_job_id(now)?,
            target: JobTarget::Event {
                connection: connection.key.clone(),
                event: CREATED.parse().map_err(Problem::internal)?,
            },
            trigger: local.trigger(),
            fire: None,
            priority: Priority::default(),
            concurrency: None,
            retry: Retry::default(),
            due_at: now,
            expires_at: None,
            idempotency_key: None,
            now,
        })
    };
    connections.iter().map(job).collect()
}

/// Tell the plugin that the connection goes, if it wants to know, and wait a bounded time for its answer. Whatever that
/// is, the connection goes.
pub(super) async fn removed(local: &Local, key: &ConnectionKey) {
    let why = match tell(local, key).await {
        Ok(None) => return,
        Ok(Some(run)) => match run.end {
            Some(end) if end.outcome == Outcome::Success => return,
            Some(end) => end
                .failure
                .map_or_else(String::new, |failure| failure.message),
            None => "it did not end".to_owned(),
        },
        Err(problem) => problem.to_string(),
    };
    warn(format!(
        "{key}: the plugin did not take the event {REMOVED}: {why}"
    ));
}

/// `None` if the plugin does not want to know.
async fn tell(local: &Local, key: &ConnectionKey) -> Result<Option<Run>> {
    let integration = local.find_integration(&key.integration).await?;
    if !integration.current.manifest.answers(REMOVED) {
        return Ok(None);
    }
    let site = RunSite::at(local, integration, key).await?;
    let told = launch::run(local, site, launch(key, REMOVED), Arc::new(SilentObserver));
    tokio::pin!(told);
    let time = Duration::from_millis(EVENT_REMOVED_MS);
    let invoked = match tokio::time::timeout(time, &mut told).await {
        Ok(invoked) => invoked?,
        Err(_) => {
            // Its end is stored soon: nothing of a guest can hold that up.
            local.registry.stop(key);
            told.await?;
            let message =
                format!("no answer within the limit event_removed_ms, {EVENT_REMOVED_MS} ms");
            return Err(Problem::internal(message));
        }
    };
    Ok(Some(invoked.run))
}

/// The same for all connections that are about to be dropped.
pub(super) async fn dropped(local: &Local, scope: &Scope) -> Result<()> {
    let (integration, connection) = match scope {
        Scope::Model(_) => return Ok(()),
        Scope::Connection(key) => (&key.integration, Some(key)),
        Scope::Integration(name) => (name, None),
    };
    let found = local.find_integration(integration).await?;
    if !found.current.manifest.answers(REMOVED) {
        return Ok(());
    }
    let running = RunFilter {
        integration: Some(integration.clone()),
        connection: connection.cloned(),
        outcome: Some("running".to_owned()),
        before: None,
        limit: 1,
    };
    if !local.store.runs(running).await?.is_empty() {
        // It is refused as long as they run.
        return Ok(());
    }
    if let Some(key) = connection {
        removed(local, key).await;
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_millis(EVENTS_REMOVED_MS);
    let mut untold: u64 = 0;
    let mut pages = Pages::of(integration, PAGE);
    while let Some(page) = pages.next(local).await? {
        let tell = page.into_iter().map(|connection| async move {
            let in_time = Instant::now() < deadline;
            if in_time {
                removed(local, &connection.key).await;
            }
            in_time
        });
        let mut told = futures::stream::iter(tell).buffer_unordered(AT_ONCE);
        while let Some(in_time) = told.next().await {
            untold += u64::from(!in_time);
        }
    }
    if untold > 0 {
        warn(format!(
            "{integration}: {untold} connections go without their plugin's being told: it took longer than the \
             limit events_removed_ms, {EVENTS_REMOVED_MS} ms"
        ));
    }
    Ok(())
}
