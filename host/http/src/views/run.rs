//! Runs, and what an action returned.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_engine::integration::Digest;
use tidegate_engine::run::{self, Failure, Outcome, RunId, Trigger};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::control;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use utoipa::ToSchema;

use super::figures::Figures;

/// One execution of a sync, an action or a check.
#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    #[schema(value_type = String)]
    run: RunId,
    /// `sync`, `action` or `event`.
    kind: &'static str,
    #[schema(value_type = String)]
    integration: Name,
    #[schema(value_type = String)]
    connection: ConnectionName,
    name: String,
    #[schema(value_type = String)]
    plugin: Digest,
    plugin_version: String,
    #[schema(value_type = String)]
    trigger: Trigger,
    attempt: u32,
    reset: bool,
    started_at: String,
    ended_at: Option<String>,
    /// `running`, or how it ended.
    outcome: &'static str,
    #[schema(value_type = Option<Object>)]
    failure: Option<Failure>,
    figures: Figures,
}

impl From<&run::Run> for Run {
    fn from(run: &run::Run) -> Self {
        let end = run.end.as_ref();
        let key = run.target.connection();
        Self {
            run: run.id,
            kind: run.target.kind(),
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            name: run.target.name().to_owned(),
            plugin: run.plugin,
            plugin_version: run.plugin_version.clone(),
            trigger: run.trigger,
            attempt: run.attempt,
            reset: run.reset,
            started_at: display::time(run.started_at),
            ended_at: end.map(|end| display::time(end.at)),
            outcome: run.outcome(),
            failure: end.and_then(|end| end.failure.clone()),
            figures: end.map_or(&run.progress, |end| &end.figures).into(),
        }
    }
}

/// The run of an action, its outcome and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invoked {
    #[schema(value_type = String)]
    run: RunId,
    #[schema(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// An earlier run under the same idempotency key had this result, and nothing was run.
    repeated: bool,
    /// As the plugin wrote it: numbers keep their digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    failure: Option<Failure>,
}

impl Invoked {
    pub fn new(invoked: &control::Invoked) -> Result<Self> {
        let output = invoked.output.as_deref().map(in_one_line);
        let output = output.map(RawValue::from_string).transpose();
        let end = invoked.run.end.as_ref();
        Ok(Self {
            run: invoked.run.id,
            outcome: end.map(|end| end.outcome),
            repeated: invoked.repeated,
            output: output.map_err(Problem::internal)?,
            failure: end.and_then(|end| end.failure.clone()),
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
