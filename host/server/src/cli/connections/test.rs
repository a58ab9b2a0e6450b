//! `tidegate connections test`: the plugin's check of a connection, and what is wrong in plain words.

use serde_json::json;
use tidegate_engine::run::{Failure, FailureClass, Outcome, Run};

use super::Which;
use crate::cli::Global;
use crate::control::Control;
use crate::output;
use crate::problem::{Kind, Problem, Result};

/// Arguments of `connections test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a check came to.
struct Verdict {
    /// For programs.
    result: &'static str,
    problem: Option<Problem>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let key = args.which.key();
    let control = global.open_existing().await?;
    let run = control.check_connection(&key).await?;
    let integration = control.integration(&key.integration).await?;
    control.close().await?;
    let plugin = integration.current.manifest.name.as_str();
    let verdict = judge(&run, plugin);
    if args.json {
        let failure = run.end.as_ref().and_then(|end| end.failure.as_ref());
        output::json(&json!({
            "integration": key.integration,
            "connection": key.connection,
            "result": verdict.result,
            "message": verdict.problem.as_ref().map(|problem| &problem.message),
            "hint": verdict.problem.as_ref().and_then(|problem| problem.hint.as_ref()),
            "status": failure.and_then(|failure| failure.upstream.as_ref()).map(|upstream| upstream.status),
            "run": run.id,
        }))?;
    }
    match verdict.problem {
        Some(problem) => Err(problem),
        None if args.json => Ok(()),
        None => {
            output::line(format!(
                "connection {key} works: the check of {plugin} passed"
            ));
            Ok(())
        }
    }
}

fn judge(run: &Run, plugin: &str) -> Verdict {
    let end = run.end.as_ref();
    if end.is_some_and(|end| end.outcome == Outcome::Success) {
        return Verdict {
            result: "accepted",
            problem: None,
        };
    }
    let key = run.target.connection();
    let failed = |message: String| Problem::new(Kind::RunFailed, message);
    let Some(failure) = end.and_then(|end| end.failure.as_ref()) else {
        return Verdict {
            result: "failed",
            problem: Some(failed(format!("the check of connection {key} has no end"))),
        };
    };
    let said = &failure.message;
    let (result, problem) = match (failure.class, failure.code.as_deref()) {
        (FailureClass::Auth, _) => (
            "credentials",
            failed(format!(
                "the API does not accept the credentials of connection {key}{}: {said}",
                status(failure)
            ))
            .hint(format!(
                "give it others: tidegate connections update {} {} --secret KEY=…",
                key.integration, key.connection
            )),
        ),
        (FailureClass::Unsupported, _) => (
            "no-check",
            Problem::new(
                Kind::Plugin,
                format!("the plugin {plugin} has no check, so that nothing is known of connection {key}: {said}"),
            )
            .hint("run a sync of it instead"),
        ),
        (_, Some("http-denied")) => (
            "refused",
            failed(format!(
                "the check of connection {key} was not let through: {said}"
            ))
            .hint("grants are given by: tidegate deploy FILE --as INTEGRATION"),
        ),
        (_, Some("http-connect" | "http-timeout")) => (
            "unreachable",
            failed(format!("the API of connection {key} can't be reached: {said}"))
                .hint("is the base URL right?"),
        ),
        _ => (
            "failed",
            failed(format!(
                "the check of connection {key} failed ({}){}: {said}",
                failure.class.as_str(),
                status(failure)
            ))
            .hint(format!("tidegate logs {}", run.id)),
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
