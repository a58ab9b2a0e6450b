//! The events that there are, made from what they tell of.
//!
//! Their `data` is documented in `docs/webhooks.md`. Every part of it that others choose is bounded, so
//! that no body reaches 20 kB.

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::rfc_3339;
use super::redact::cut;
use super::{Endpoint, EventId, EventType, NewEvent, without_query};
use crate::integration::Connection;
use crate::limits::WEBHOOK_MODELS;
use crate::run::{
    Blame, CHECKPOINT_KEPT_BYTES, FailureClass, Outcome, Run, RunEnd, RunId, Target, Trigger,
};
use crate::schedule::{Schedule, ScheduleId};
use crate::{ConnectionKey, ConnectionName, Name, Timestamp};

/// Bytes of a failure's message.
const MESSAGE_BYTES: usize = 500;

/// A run of a sync that ended.
#[derive(Serialize)]
struct RunEnded<'a> {
    run: RunId,
    integration: &'a Name,
    connection: &'a ConnectionName,
    sync: &'a Name,
    variant: &'a Name,
    trigger: Trigger,
    attempt: u32,
    sync_type: &'static str,
    started_at: String,
    ended_at: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failed<'a>>,
    models: Vec<Model<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    models_left_out: usize,
    checkpoint: Checkpoints<'a>,
}

#[derive(Serialize)]
struct Failed<'a> {
    class: FailureClass,
    blame: Blame,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

#[derive(Serialize)]
struct Model<'a> {
    model: &'a Name,
    added: u64,
    updated: u64,
    deleted: u64,
    cursor: String,
}

#[derive(Serialize)]
struct Checkpoints<'a> {
    from: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_left_out: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    to_left_out: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A new event with what is common to all: `id_parts` besides its type make its id.
fn new_event<T: Serialize>(
    kind: EventType,
    at: Timestamp,
    id_parts: &[&str],
    stream: Option<&ConnectionKey>,
    data: &T,
) -> Option<NewEvent> {
    let parts: Vec<&str> = std::iter::once(kind.as_str())
        .chain(id_parts.iter().copied())
        .collect();
    Some(NewEvent {
        id: EventId::derived(at, &parts),
        kind,
        at,
        stream: stream.cloned(),
        data: serde_json::to_string(data).ok()?,
    })
}

/// A run ended so, with its sync's checkpoint as it is now; its job goes on at `retry_at`. `None` for
/// one of an action, which answers its caller, and for one that was skipped, which did nothing.
#[must_use]
pub fn run_ended(
    run: &Run,
    end: &RunEnd,
    checkpoint: Option<&str>,
    retry_at: Option<Timestamp>,
) -> Option<NewEvent> {
    let Target::Sync(sync) = &run.target else {
        return None;
    };
    let kind = match end.outcome {
        Outcome::Success | Outcome::Interrupted | Outcome::Cancelled => EventType::RunFinished,
        Outcome::Failed | Outcome::Stalled => EventType::RunFailed,
        Outcome::Skipped => return None,
    };
    let basis = run.basis.as_ref();
    let is_initial = basis.is_some_and(|basis| !basis.resumed);
    let written = basis.into_iter().flat_map(|basis| &basis.cursors);
    let mut models: Vec<Model<'_>> = written
        .map(|(model, cursor)| {
            let counts = run.progress.counts.get(model).copied().unwrap_or_default();
            Model {
                model,
                added: counts.added,
                updated: counts.updated,
                deleted: counts.deleted,
                cursor: cursor.to_string(),
            }
        })
        .collect();
    let most = usize::try_from(WEBHOOK_MODELS).unwrap_or(usize::MAX);
    let models_left_out = models.len().saturating_sub(most);
    models.truncate(most);
    let from = basis
        .and_then(|basis| basis.checkpoint.as_deref())
        .and_then(as_json);
    let to = checkpoint
        .filter(|text| text.len() <= CHECKPOINT_KEPT_BYTES)
        .and_then(as_json);
    let data = RunEnded {
        run: run.id,
        integration: &sync.connection.integration,
        connection: &sync.connection.connection,
        sync: &sync.sync,
        variant: &sync.variant,
        trigger: run.trigger,
        attempt: run.attempt,
        sync_type: if is_initial { "initial" } else { "incremental" },
        started_at: rfc_3339(run.started_at),
        ended_at: rfc_3339(end.at),
        outcome: end.outcome,
        retry_at: retry_at.map(rfc_3339),
        failure: end.failure.as_ref().map(|failure| Failed {
            class: failure.class,
            blame: failure.blame,
            message: cut(&failure.message, MESSAGE_BYTES),
            limit: failure.limit.as_deref(),
            code: failure.code.as_deref().map(|code| cut(code, MESSAGE_BYTES)),
        }),
        models,
        models_left_out,
        checkpoint: Checkpoints {
            from_left_out: from.is_none() && !is_initial,
            to_left_out: to.is_none() && checkpoint.is_some(),
            from,
            to,
        },
    };
    new_event(
        kind,
        end.at,
        &[&run.id.to_string()],
        Some(&sync.connection),
        &data,
    )
}

fn as_json(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

#[derive(Serialize)]
struct ConnectionFailed<'a> {
    integration: &'a Name,
    connection: &'a ConnectionName,
    failed_at: String,
    message: String,
}

/// A connection changed so: its credentials are not accepted from now on, or its config or grants can't work.
/// Each is told of once, until it is over.
#[must_use]
pub fn connection_failed(old: &Connection, new: &Connection) -> Vec<NewEvent> {
    let rows = [
        (
            EventType::AuthFailed,
            old.auth_failure(),
            new.auth_failure(),
        ),
        (
            EventType::ConfigFailed,
            old.config_failure(),
            new.config_failure(),
        ),
    ];
    let events = rows.into_iter().filter_map(|(kind, before, now)| {
        let (at, message) = now.filter(|_| before.is_none())?;
        let data = ConnectionFailed {
            integration: &new.key.integration,
            connection: &new.key.connection,
            failed_at: rfc_3339(at),
            message: cut(&message, MESSAGE_BYTES),
        };
        // One that was removed may have had the same name and revision.
        let (created, revision) = (new.created_at.0.to_string(), new.revision.to_string());
        let parts = [
            new.key.integration.as_str(),
            new.key.connection.as_str(),
            &created,
            &revision,
        ];
        new_event(kind, at, &parts, Some(&new.key), &data)
    });
    events.collect()
}

#[derive(Serialize)]
struct SchedulePaused<'a> {
    schedule: ScheduleId,
    integration: &'a Name,
    connection: &'a ConnectionName,
    /// `sync` or `action`.
    kind: &'static str,
    name: &'a Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    failures: u32,
    paused_at: String,
}

/// A schedule was paused because its jobs kept failing; `None` if that is not why it is paused.
#[must_use]
pub fn schedule_paused(schedule: &Schedule) -> Option<NewEvent> {
    let pause = schedule.progress.paused.as_ref()?;
    let target = &schedule.definition.target;
    let key = target.connection();
    let data = SchedulePaused {
        schedule: schedule.id,
        integration: &key.integration,
        connection: &key.connection,
        kind: target.kind(),
        name: target.name(),
        external_id: schedule.definition.external_id.as_deref(),
        failures: pause.failures?,
        paused_at: rfc_3339(pause.at),
    };
    let (id, revision) = (schedule.id.to_string(), schedule.revision.to_string());
    let parts = [id.as_str(), &revision];
    new_event(
        EventType::SchedulePaused,
        pause.at,
        &parts,
        Some(key),
        &data,
    )
}

#[derive(Serialize)]
struct EndpointDisabled<'a> {
    endpoint: super::EndpointId,
    url: String,
    why: &'a str,
    disabled_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure_at: Option<String>,
}

/// An endpoint that was just disabled; it does not hear of it itself.
#[must_use]
pub fn endpoint_disabled(endpoint: &Endpoint) -> Option<NewEvent> {
    let disabled = endpoint.disabled?;
    let data = EndpointDisabled {
        endpoint: endpoint.id,
        url: without_query(&endpoint.url),
        why: disabled.why.as_str(),
        disabled_at: rfc_3339(disabled.at),
        first_failure_at: endpoint.first_failure_at.map(rfc_3339),
    };
    let (id, revision) = (endpoint.id.to_string(), endpoint.revision.to_string());
    new_event(
        EventType::EndpointDisabled,
        disabled.at,
        &[&id, &revision],
        None,
        &data,
    )
}

#[cfg(test)]
#[path = "payloads_tests.rs"]
mod tests;
