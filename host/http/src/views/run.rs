//! Runs, and what an action returned.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::integration::Digest;
use tidegate_engine::job::JobTarget;
use tidegate_engine::run::{self, RunId, Target};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control;
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::failure::{Failure, Outcome};
use super::figures::Figures;
use super::text::{self, Time};
use super::word::words;

words! {
    /// What a run executes.
    pub(crate) enum RunKind {
        Sync = "sync",
        Action = "action",
        /// An event of a connection, such as a check of it.
        Event = "event",
    }
}

impl From<&Target> for RunKind {
    fn from(target: &Target) -> Self {
        match target {
            Target::Sync(_) => Self::Sync,
            Target::Action { .. } => Self::Action,
            Target::Event { .. } => Self::Event,
        }
    }
}

impl From<&JobTarget> for RunKind {
    fn from(target: &JobTarget) -> Self {
        match target {
            JobTarget::Sync { .. } => Self::Sync,
            JobTarget::Action { .. } => Self::Action,
            JobTarget::Event { .. } => Self::Event,
        }
    }
}

words! {
    /// Who asked for a run.
    pub(crate) enum RunTrigger of run::Trigger {
        /// A person, by a command.
        Manual = "manual",
        /// An application, through the API.
        Api = "api",
        Schedule = "schedule",
        /// A schedule's fires of the past, on request.
        Backfill = "backfill",
    }
}

words! {
    /// Where a run is: it runs, or how it ended.
    pub(crate) enum RunState {
        Running = "running",
        Success = "success",
        Failed = "failed",
        /// It hit a limit or its process ended. What it had committed stays; it may continue.
        Interrupted = "interrupted",
        /// Interrupted again without having advanced.
        Stalled = "stalled",
        Cancelled = "cancelled",
        Skipped = "skipped",
    }
}

impl From<Option<run::Outcome>> for RunState {
    fn from(outcome: Option<run::Outcome>) -> Self {
        match outcome {
            None => Self::Running,
            Some(run::Outcome::Success) => Self::Success,
            Some(run::Outcome::Failed) => Self::Failed,
            Some(run::Outcome::Interrupted) => Self::Interrupted,
            Some(run::Outcome::Stalled) => Self::Stalled,
            Some(run::Outcome::Cancelled) => Self::Cancelled,
            Some(run::Outcome::Skipped) => Self::Skipped,
        }
    }
}

/// One execution of a sync, an action or a check.
#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    #[schema(value_type = text::RunId)]
    run: RunId,
    kind: RunKind,
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    #[schema(value_type = text::Name)]
    name: String,
    #[schema(value_type = text::Digest)]
    plugin: Digest,
    #[schema(value_type = text::Version)]
    plugin_version: String,
    trigger: RunTrigger,
    attempt: u32,
    reset: bool,
    started_at: Time,
    ended_at: Option<Time>,
    /// `running`, or how it ended.
    outcome: RunState,
    failure: Option<Failure>,
    figures: Figures,
}

impl From<&run::Run> for Run {
    fn from(run: &run::Run) -> Self {
        let end = run.end.as_ref();
        let key = run.target.connection();
        Self {
            run: run.id,
            kind: (&run.target).into(),
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            name: run.target.name().to_owned(),
            plugin: run.plugin,
            plugin_version: run.plugin_version.clone(),
            trigger: run.trigger.into(),
            attempt: run.attempt,
            reset: run.reset,
            started_at: Time(run.started_at),
            ended_at: end.map(|end| Time(end.at)),
            outcome: end.map(|end| end.outcome).into(),
            failure: end.and_then(|end| end.failure.as_ref().map(Into::into)),
            figures: end.map_or(&run.progress, |end| &end.figures).into(),
        }
    }
}

/// The run of an action, its outcome and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invoked {
    #[schema(value_type = text::RunId)]
    run: RunId,
    outcome: Option<Outcome>,
    /// An earlier run under the same idempotency key had this result, and nothing was run.
    repeated: bool,
    /// As the plugin wrote it: numbers keep their digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::JsonValue>)]
    output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

impl Invoked {
    pub fn new(invoked: &control::Invoked) -> Result<Self> {
        let output = invoked.output.as_deref().map(in_one_line);
        let output = output.map(RawValue::from_string).transpose();
        let end = invoked.run.end.as_ref();
        Ok(Self {
            run: invoked.run.id,
            outcome: end.map(|end| end.outcome.into()),
            repeated: invoked.repeated,
            output: output.map_err(Problem::internal)?,
            failure: end.and_then(|end| end.failure.as_ref().map(Into::into)),
        })
    }
}

/// JSON text without spaces and line breaks between its tokens.
pub fn in_one_line(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |c: &char| {
        let keep = in_text || !c.is_ascii_whitespace();
        in_text ^= *c == '"' && !escaped;
        escaped = in_text && *c == '\\' && !escaped;
        keep
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::in_one_line;

    #[test]
    fn only_what_is_between_tokens_goes() {
        for (json, line) in [
            ("{ \"a\" : [ 1 ,\n 2 ] }", r#"{"a":[1,2]}"#),
            (r#" "a b" "#, r#""a b""#),
            (r#"["a \" b", "c \\", " d"]"#, r#"["a \" b","c \\"," d"]"#),
            ("12345678901234567890.10", "12345678901234567890.10"),
        ] {
            assert_eq!(in_one_line(json), line);
        }
    }
}
