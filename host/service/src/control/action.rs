//! One foreground run of an action: its input checked before, its output by the schema after.

use std::sync::Arc;

use serde_json::{Map, Value};
use tidegate_engine::Name;
use tidegate_engine::command;
use tidegate_engine::idempotency::{IdempotencyKey, KeyUse};
use tidegate_engine::integration::Integration;
use tidegate_engine::limits::ACTION_INPUT_BYTES;
use tidegate_engine::manifest::ResolvedAction;
use tidegate_engine::run::Target;
use tidegate_engine::store::Durability;
use tidegate_runtime::OutputCheck;

use super::launch::{self, RunRequest, RunSite};
use super::local::Local;
use super::schema::Schema;
use super::{InvokeRequest, Invoked, Progress};
use crate::problem::{Problem, Result};

pub(super) async fn invoke(
    local: &Local,
    request: InvokeRequest,
    progress: Arc<dyn Progress>,
) -> Result<Invoked> {
    let site = RunSite::of(local, &request.connection).await?;
    let checked = checked(local, &site, &request.action, &request.input).await?;
    let key = match request.idempotency_key {
        Some(key) => Some(key_use(key, &request.action, &request.input)?),
        None => None,
    };
    let launch = RunRequest {
        target: Target::Action {
            connection: request.connection,
            action: request.action,
        },
        output_check: Some(checked.output_check),
        models: checked.models,
        reset: false,
        empty: false,
        allow_deletes: false,
        durability: Durability::Durable,
        input: Some(request.input),
        key,
        record: request.record,
    };
    launch::run(local, site, launch, progress).await
}

/// A key with the input that it stands for.
pub(super) fn key_use(key: IdempotencyKey, action: &Name, input: &str) -> Result<KeyUse> {
    KeyUse::new(key, input).map_err(|error| {
        Problem::invalid(format!("the input of {action} can't be compared: {error}"))
    })
}

/// An action whose input fits.
pub(super) struct Checked {
    pub(super) models: Vec<Name>,
    pub(super) output_check: OutputCheck,
}

/// Find an action, and check an input by its schema.
pub(super) async fn checked(
    local: &Local,
    site: &RunSite,
    action: &Name,
    input: &str,
) -> Result<Checked> {
    let found = find(&site.integration, &site.config, action)?;
    let digest = site.integration.current.digest;
    let of = |part| format!("actions.{}.{part}", found.spec.name);
    let schemas = &local.schemas;
    let input_schema = schemas.get(digest, of("input"), &found.spec.input);
    let input_schema = input_schema.await?;
    let output_schema = schemas.get(digest, of("output"), &found.spec.output);
    let output_schema = output_schema.await?;
    check_input(action, input, &input_schema).await?;
    Ok(Checked {
        output_check: checked_by(output_schema),
        models: found.models,
    })
}

/// What checks an action's output by its schema.
pub(crate) fn output_check(action: &Name, output: &Value) -> Result<OutputCheck> {
    let schema = Schema::compile(&format!("actions.{action}.output"), output)?;
    Ok(checked_by(Arc::new(schema)))
}

fn checked_by(schema: Arc<Schema>) -> OutputCheck {
    OutputCheck::new(move |value| {
        let schema = Arc::clone(&schema);
        Box::pin(async move {
            match schema.violations(value).await.as_slice() {
                [] => Ok(()),
                violations => Err(violations.join("\n  ")),
            }
        })
    })
}

async fn check_input(action: &Name, input: &str, schema: &Arc<Schema>) -> Result<()> {
    let place = format!("the input of {action}");
    let bytes = input.len() as u64;
    if bytes > ACTION_INPUT_BYTES {
        return Err(Problem::invalid(format!(
            "{place} has {bytes} bytes; the limit action_input_bytes is {ACTION_INPUT_BYTES}"
        )));
    }
    let value: Value = serde_json::from_str(input)
        .map_err(|error| Problem::invalid(format!("{place} is not JSON: {error}")))?;
    let violations = schema.violations(value).await;
    if violations.is_empty() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "{place} doesn't fit its schema; nothing was run:\n  {}",
        violations.join("\n  ")
    )))
}

/// The action of this name, or a problem that lists those there are.
fn find<'a>(
    integration: &'a Integration,
    config: &Map<String, Value>,
    action: &Name,
) -> Result<ResolvedAction<'a>> {
    let manifest = &integration.current.manifest;
    let actions = manifest.actions_for(config);
    let known: Vec<String> = actions.iter().map(|found| found.name.to_string()).collect();
    if let Some(found) = actions.into_iter().find(|found| found.name == *action) {
        return Ok(found);
    }
    let message = format!(
        "integration {} has no action {:?}",
        integration.name,
        action.as_str()
    );
    let problem = Problem::not_found(message);
    let syncs = manifest.syncs_for(config);
    Err(if syncs.iter().any(|sync| sync.name == *action) {
        problem.advise(
            "it is a sync",
            command!(
                "run {integration}/{sync} -c CONNECTION",
                integration.name,
                action
            ),
        )
    } else if known.is_empty() {
        problem.hint("it has none for this connection")
    } else {
        problem.listing("actions", known.iter().map(String::as_str))
    })
}
