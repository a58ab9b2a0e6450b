//! `tidegate runs`: what ran, how it ended, who is to blame; and trying one again.

use clap::Subcommand;
use tidegate_engine::run::{Figures, Run, RunId};
use tidegate_engine::store::{OUTCOMES, RunFilter};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};

use super::Global;
use crate::output::{self, Block};

/// Arguments of `runs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    look: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try one again that did not succeed; it starts while `tidegate serve` runs
    Retry(Retry),
}

#[derive(Debug, clap::Args)]
struct Retry {
    run: RunId,
    /// Print the job that does it as one JSON object
    #[arg(long)]
    json: bool,
}

/// Which runs to show.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// One run, in full
    run: Option<RunId>,
    /// Only this integration's
    #[arg(long, short)]
    integration: Option<Name>,
    /// Only this connection's, of --integration
    #[arg(long, short, requires = "integration")]
    connection: Option<ConnectionName>,
    /// Only those with this outcome, or those that are running
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(OUTCOMES))]
    outcome: Option<String>,
    /// Only runs older than this one
    #[arg(long, value_name = "RUN")]
    before: Option<RunId>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Some(Command::Retry(retried)) => retry(global, &retried).await,
        None => look(global, &args.look).await,
    }
}

async fn retry(global: &Global, args: &Retry) -> Result<()> {
    let control = global.open_existing().await?;
    let job = control.retry_run(args.run).await;
    control.close().await?;
    super::jobs::show(&job?, args.json)
}

async fn look(global: &Global, args: &ListArgs) -> Result<()> {
    let control = global.open().await?;
    let runs = match args.run {
        Some(id) => vec![control.run(id).await?],
        None => control.runs(filter(args)?).await?,
    };
    control.close().await?;
    if args.json {
        return runs
            .iter()
            .try_for_each(|run| output::json(&views::Run::from(run)));
    }
    if let (Some(_), Some(run)) = (args.run, runs.first()) {
        output::block(&explain(run));
        return Ok(());
    }
    output::block(&table(&runs));
    Ok(())
}

fn filter(args: &ListArgs) -> Result<RunFilter> {
    let connection = match (&args.integration, &args.connection) {
        (Some(integration), Some(connection)) => Some(ConnectionKey {
            integration: integration.clone(),
            connection: connection.clone(),
        }),
        (None, Some(_)) => return Err(Problem::invalid("--connection needs --integration")),
        _ => None,
    };
    Ok(RunFilter {
        integration: args.integration.clone(),
        connection,
        outcome: args.outcome.clone(),
        before: args.before,
        limit: usize::from(args.limit),
    })
}

fn figures(run: &Run) -> &Figures {
    run.end.as_ref().map_or(&run.progress, |end| &end.figures)
}

fn table(runs: &[Run]) -> Block {
    let rows = runs.iter().map(|run| {
        let total = figures(run).total();
        let failure = run.end.as_ref().and_then(|end| end.failure.as_ref());
        let wall = run.end.as_ref().map(|end| end.at.since(run.started_at));
        vec![
            run.id.to_string(),
            format!(
                "{}/{}",
                run.target.connection().integration,
                run.target.name()
            ),
            run.target.connection().connection.to_string(),
            run.outcome().to_owned(),
            failure
                .map(|f| f.blame.as_str())
                .unwrap_or_default()
                .to_owned(),
            display::count(total.added),
            display::count(total.updated),
            display::count(total.deleted),
            display::count(total.unchanged),
            display::count(total.skipped),
            wall.map(display::duration).unwrap_or_default(),
            display::time(run.started_at),
        ]
    });
    let heading = [
        "run",
        "sync or action",
        "connection",
        "outcome",
        "blame",
        "added",
        "updated",
        "deleted",
        "unchanged",
        "skipped",
        "took",
        "started",
    ];
    output::table(
        &heading,
        &[
            "added",
            "updated",
            "deleted",
            "unchanged",
            "skipped",
            "took",
        ],
        rows,
    )
}

/// A run in full, for people.
pub(super) fn explain(run: &Run) -> Block {
    let figures = figures(run);
    let mut block = Block::new();
    block.line(format!("run        {}", run.id));
    block.line(format!(
        "{:10} {}/{} for {}",
        run.target.kind(),
        run.target.connection().integration,
        run.target.name(),
        run.target.connection().connection,
    ));
    block.line(format!(
        "plugin     version {} (sha256:{})",
        run.plugin_version,
        run.plugin.short()
    ));
    block.line(format!("outcome    {}", run.outcome()));
    if let Some(failure) = run.end.as_ref().and_then(|end| end.failure.as_ref()) {
        block.quote("reason     ", &failure.message);
        block.line(format!("class      {}", failure.class.as_str()));
        block.line(format!("blame      {}", failure.blame.as_str()));
        if let Some(limit) = &failure.limit {
            block.line(format!("limit      {limit}"));
        }
        if let Some(upstream) = &failure.upstream {
            let body: String = upstream.body.chars().take(500).collect();
            block.quote(&format!("upstream   status {}: ", upstream.status), &body);
        }
    }
    for (model, counts) in &figures.counts {
        block.line(format!(
            "{model}: {} added, {} updated, {} deleted, {} unchanged, {} skipped",
            display::count(counts.added),
            display::count(counts.updated),
            display::count(counts.deleted),
            display::count(counts.unchanged),
            display::count(counts.skipped),
        ));
    }
    block.line(format!(
        "figures    {} commits, {} requests ({} of them retries), {} in, {} out, {} CPU, {} memory, {}",
        display::count(figures.commits),
        display::count(figures.requests),
        display::count(figures.retries),
        output::bytes(figures.bytes_in),
        output::bytes(figures.bytes_out),
        display::duration(figures.cpu_ms),
        output::bytes(figures.memory_bytes),
        display::duration(figures.wall_ms),
    ));
    asked(&mut block, figures);
    block
}

/// What its requests were answered, and what they waited for.
fn asked(block: &mut Block, figures: &Figures) {
    if figures.requests > 0 {
        let answered: u64 = figures.statuses.values().sum();
        let statuses = figures.statuses.iter();
        let statuses =
            statuses.map(|(status, times)| format!("{} × {status}", display::count(*times)));
        let mut parts: Vec<String> = statuses.collect();
        let silent = figures.requests.saturating_sub(answered);
        if silent > 0 {
            parts.push(format!("{} without an answer", display::count(silent)));
        }
        block.line(format!("answers    {}", parts.join(", ")));
    }
    let waited = &figures.waited;
    let parts = [
        (waited.retry_after_ms, "for Retry-After"),
        (waited.pace_ms, "for a pause or quota of the API"),
        (waited.backoff_ms, "as back-off"),
        (waited.rate_limit_ms, "for its own rate limit"),
    ];
    let parts = parts.into_iter().filter(|(ms, _)| *ms > 0);
    let parts: Vec<String> = parts
        .map(|(ms, why)| format!("{} {why}", display::duration(ms)))
        .collect();
    if !parts.is_empty() {
        block.line(format!("waited     {}", parts.join(", ")));
    }
    if waited.retries_unpaid > 0 {
        block.line(format!(
            "not again  {}: the retry budget of this API was spent",
            display::counted(waited.retries_unpaid, "request")
        ));
    }
}
