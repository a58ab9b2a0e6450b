//! `tidegate invoke`: one action in the foreground; prints what it returns.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tidegate_engine::command;
use tidegate_engine::idempotency::IdempotencyKey;
use tidegate_engine::limits::ACTION_INPUT_BYTES;
use tidegate_engine::run::{Blame, Failure, FailureClass, Outcome};
use tidegate_engine::{ConnectionKey, ConnectionName};
use tidegate_http::views::{self, in_one_line};
use tidegate_service::control::{InvokeRequest, Invoked, Progress};
use tidegate_service::problem::{Kind, Problem, Result};

use super::Global;
use super::run::{FunctionName, RunProgress};
use super::source::read_text;
use crate::output::{self, Block};

/// Arguments of `invoke`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The action to invoke
    #[arg(value_name = "INTEGRATION/ACTION")]
    action: FunctionName,
    /// For whom
    #[arg(long, short)]
    connection: ConnectionName,
    /// Its input: JSON, or @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    input: String,
    /// Act once under this key: a repeat within 24 hours gets the first result
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// Write the run's cassette to this file, for `tidegate replay` and `tidegate test`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print one JSON object: the run, its outcome, and the output or the failure
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let input = read_text("the input", &args.input, ACTION_INPUT_BYTES)?;
    let request = InvokeRequest {
        connection: ConnectionKey {
            integration: args.action.integration,
            connection: args.connection,
        },
        action: args.action.function,
        input,
        idempotency_key: args.idempotency_key,
        record: args.record,
    };
    let control = global.open().await?;
    let progress = Arc::new(RunProgress::new());
    let invoked = control
        .invoke(request, Arc::clone(&progress) as Arc<dyn Progress>)
        .await;
    progress.clear();
    control.close().await?;
    let invoked = invoked?;
    if args.json {
        output::json(&views::Invoked::new(&invoked)?)?;
    } else {
        print(&invoked)?;
    }
    outcome(&invoked)
}

fn failure(invoked: &Invoked) -> Option<&Failure> {
    invoked.run.end.as_ref()?.failure.as_ref()
}

/// The output in one line, or well laid out on a terminal; what a rejection has to say.
fn print(invoked: &Invoked) -> Result<()> {
    if let Some(output) = &invoked.output {
        if std::io::stdout().is_terminal() {
            let value: Value = serde_json::from_str(output).map_err(Problem::internal)?;
            output::json_text(&serde_json::to_string_pretty(&value).map_err(Problem::internal)?);
        } else {
            output::json_text(&in_one_line(output));
        }
        return Ok(());
    }
    let Some(failure) = failure(invoked) else {
        return Ok(());
    };
    let mut block = Block::new();
    block.quote(&format!("{}: ", failure.class.as_str()), &failure.message);
    if let Some(code) = &failure.code {
        block.line(format!("code: {code}"));
    }
    if let Some(payload) = &failure.payload {
        block.line(format!("payload: {payload}"));
    }
    if let Some(upstream) = &failure.upstream {
        let (status, body) = (upstream.status, &upstream.body);
        block.quote(&format!("upstream: status {status}: "), body);
    }
    output::block(&block);
    Ok(())
}

fn outcome(invoked: &Invoked) -> Result<()> {
    let run = &invoked.run;
    let ended = run.end.as_ref().map(|end| end.outcome);
    if ended == Some(Outcome::Success) {
        return Ok(());
    }
    let ended = ended.map_or("running", Outcome::as_str);
    let problem = match failure(invoked) {
        Some(failure) => Problem::new(
            kind(failure),
            format!(
                "the action {ended}: {} ({}, blame: {})",
                failure.message,
                failure.class.as_str(),
                failure.blame.as_str()
            ),
        ),
        None => Problem::new(Kind::RunFailed, format!("the action ended as {ended}")),
    };
    Err(problem.advise("see what it said", command!("logs {run}", run.id)))
}

/// Who said no: the action, the outside API, or one of ours.
fn kind(failure: &Failure) -> Kind {
    match (failure.class, failure.blame) {
        (FailureClass::Rejected, _) => Kind::Rejected,
        // Later it may work, but nobody knows whether it has.
        (_, Blame::Upstream) if !failure.may_be_done => Kind::Upstream,
        _ => Kind::RunFailed,
    }
}
