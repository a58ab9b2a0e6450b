//! What a check of a connection came to, in plain words.

use serde::Serialize;
use tidegate_engine::command;
use tidegate_engine::run::{Failure, FailureClass, Level, LogLine, Outcome, Run, RunId};
use tidegate_engine::{ConnectionName, Name};
use tidegate_service::problem::{Kind, Problem};
use utoipa::ToSchema;

use super::text;
use super::word::words;

words! {
    /// What a check of a connection came to.
    pub(crate) enum CheckResult {
        Accepted = "accepted",
        /// The API does not accept the credentials.
        Credentials = "credentials",
        /// The plugin has no check: nothing is known.
        NoCheck = "no-check",
        /// The grants did not let it through.
        Refused = "refused",
        /// The API can't be reached.
        Unreachable = "unreachable",
        Failed = "failed",
    }
}

/// What a check of a connection came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: ConnectionName,
    result: CheckResult,
    message: Option<String>,
    hint: Option<String>,
    /// What the check warned of in its log, such as a pointer of the config that leads nowhere.
    warnings: Vec<String>,
    /// What the API answered, if it did.
    status: Option<u16>,
    #[schema(value_type = text::RunId)]
    run: RunId,
}

impl Check {
    /// So many lines of a check's log are looked at.
    pub const LOG_LINES: usize = 1_000;

    /// What this run of a check, and its log, say of its connection; a problem if it is not accepted.
    pub fn of(run: &Run, log: &[LogLine], plugin: &str) -> (Self, Option<Problem>) {
        let verdict = judge(run, plugin);
        let key = run.target.connection();
        let failure = run.end.as_ref().and_then(|end| end.failure.as_ref());
        let upstream = failure.and_then(|failure| failure.upstream.as_ref());
        let problem = verdict.problem.as_ref();
        let check = Self {
            integration: key.integration.clone(),
            connection: key.connection.clone(),
            result: verdict.result,
            message: problem.map(|problem| problem.message.clone()),
            hint: problem.and_then(|problem| problem.hint.clone()),
            warnings: log
                .iter()
                .filter(|line| matches!(line.level, Level::Warn | Level::Error))
                .map(|line| line.message.clone())
                .collect(),
            status: upstream.map(|upstream| upstream.status),
            run: run.id,
        };
        (check, verdict.problem)
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What a check came to.
struct Verdict {
    result: CheckResult,
    problem: Option<Problem>,
}

fn judge(run: &Run, plugin: &str) -> Verdict {
    let end = run.end.as_ref();
    if end.is_some_and(|end| end.outcome == Outcome::Success) {
        return Verdict {
            result: CheckResult::Accepted,
            problem: None,
        };
    }
    let key = run.target.connection();
    let failed = |message: String| Problem::new(Kind::RunFailed, message);
    let Some(failure) = end.and_then(|end| end.failure.as_ref()) else {
        return Verdict {
            result: CheckResult::Failed,
            problem: Some(failed(format!("the check of connection {key} has no end"))),
        };
    };
    let said = &failure.message;
    let (result, problem) = match (failure.class, failure.code.as_deref()) {
        (FailureClass::Auth, _) => (
            CheckResult::Credentials,
            failed(format!(
                "the API does not accept the credentials of connection {key}{}: {said}",
                status(failure)
            ))
            .advise(
                "give it others",
                command!(
                    "connections update {integration} {connection} --secret KEY=…",
                    key.integration,
                    key.connection
                ),
            ),
        ),
        (FailureClass::Unsupported, _) => (
            CheckResult::NoCheck,
            Problem::new(
                Kind::Plugin,
                format!("the plugin {plugin} has no check, so that nothing is known of connection {key}: {said}"),
            )
            .hint("run a sync of it instead"),
        ),
        (_, Some("http-denied")) => (
            CheckResult::Refused,
            failed(format!(
                "the check of connection {key} was not let through: {said}"
            ))
            .advise("grants are given by", command!("deploy FILE --as {integration}", key.integration)),
        ),
        (_, Some("http-connect" | "http-timeout")) => (
            CheckResult::Unreachable,
            failed(format!("the API of connection {key} can't be reached: {said}"))
                .hint("is the base URL right?"),
        ),
        _ => (
            CheckResult::Failed,
            failed(format!(
                "the check of connection {key} failed ({}){}: {said}",
                failure.class.as_str(),
                status(failure)
            ))
            .advise("see what it said", command!("logs {run}", run.id)),
        ),
    };
    Verdict {
        result,
        problem: Some(problem),
    }
}

/// ` (status 401)`, if the API answered.
fn status(failure: &Failure) -> String {
    let upstream = failure.upstream.as_ref();
    upstream.map_or_else(String::new, |upstream| {
        format!(" (status {})", upstream.status)
    })
}
