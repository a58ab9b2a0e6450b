//! `tidegate jobs`: what waits, runs, or has ended; and `tidegate trigger`.

use clap::Subcommand;
use tidegate_engine::job::{Job, JobId};
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::store::JobFilter;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::{Control, TriggerRequest};
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;
use super::run::FunctionName;
use crate::output::{self, Block};

/// Arguments of `jobs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List jobs, newest first
    List(List),
    /// Show one
    Show(JobArg),
    /// Cancel one: what waits ends, what runs stops
    Cancel(JobArg),
    /// Queue a dead one again
    Redrive(JobArg),
    /// Give a dead one up
    Discard(JobArg),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only this integration's
    #[arg(long, short)]
    integration: Option<Name>,
    /// Only this connection's, of --integration
    #[arg(long, short, requires = "integration")]
    connection: Option<ConnectionName>,
    /// Only this schedule's
    #[arg(long)]
    schedule: Option<ScheduleId>,
    /// Only those in this state
    #[arg(long, value_parser = ["queued", "running", "succeeded", "dead", "cancelled", "expired", "discarded"])]
    state: Option<String>,
    /// Only jobs older than this one
    #[arg(long, value_name = "JOB")]
    before: Option<JobId>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct JobArg {
    job: JobId,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open_existing().await?;
    let done = asked(&*control, args.command).await;
    control.close().await?;
    done
}

async fn asked(control: &dyn Control, command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(control, args).await,
        Command::Show(one) => show_one(control, &one).await,
        Command::Cancel(one) => show(&control.cancel_job(one.job).await?, one.json),
        Command::Redrive(one) => show(&control.redrive_job(one.job).await?, one.json),
        Command::Discard(one) => show(&control.discard_job(one.job).await?, one.json),
    }
}

async fn list(control: &dyn Control, args: List) -> Result<()> {
    let connection = args.integration.clone().zip(args.connection);
    let filter = JobFilter {
        integration: args.integration,
        connection: connection.map(|(integration, connection)| ConnectionKey {
            integration,
            connection,
        }),
        schedule: args.schedule,
        state: args.state,
        before: args.before,
        limit: usize::from(args.limit),
    };
    let jobs = control.jobs(filter).await?;
    if args.json {
        return jobs
            .iter()
            .try_for_each(|job| output::json(&views::Job::from(job)));
    }
    let rows = jobs.iter().map(row);
    output::block(&output::table(
        &[
            "job",
            "what",
            "connection",
            "state",
            "due",
            "attempts",
            "failure",
        ],
        &["attempts"],
        rows,
    ));
    Ok(())
}

fn row(job: &Job) -> Vec<String> {
    let key = job.target.connection();
    vec![
        job.id.to_string(),
        format!("{}/{}", key.integration, job.target.name()),
        key.connection.to_string(),
        job.state.as_str().to_owned(),
        display::time(job.due_at),
        job.attempts.to_string(),
        job.failure
            .as_ref()
            .map_or_else(String::new, |failure| failure.message.clone()),
    ]
}

/// With what its action returned.
async fn show_one(control: &dyn Control, one: &JobArg) -> Result<()> {
    let job = control.job(one.job).await?;
    let returned = control.job_output(one.job).await?;
    if one.json {
        return output::json(&views::JobWithOutput::new(&job, returned.as_deref())?);
    }
    show(&job, false)?;
    if let Some(returned) = returned {
        output::line(format!("output: {}", views::in_one_line(&returned)));
    }
    Ok(())
}

pub(super) fn show(job: &Job, json: bool) -> Result<()> {
    if json {
        return output::json(&views::Job::from(job));
    }
    let key = job.target.connection();
    output::line(format!(
        "{} {} {}/{} for {}, due {}",
        job.id,
        job.state.as_str(),
        key.integration,
        job.target.name(),
        key.connection,
        display::time(job.due_at)
    ));
    if let Some(run) = job.run {
        output::line(format!("last run: {run}"));
    }
    if let Some(failure) = &job.failure {
        let mut block = Block::new();
        let said = format!("{} ({})", failure.message, failure.class.as_str());
        block.quote("failure: ", &said);
        output::block(&block);
    }
    Ok(())
}

/// Arguments of `trigger`.
#[derive(Debug, clap::Args)]
pub(super) struct TriggerArgs {
    /// The sync to run
    #[arg(value_name = "INTEGRATION/SYNC")]
    sync: FunctionName,
    /// For whom
    #[arg(long, short)]
    connection: ConnectionName,
    /// Start without a checkpoint; records are kept
    #[arg(long)]
    reset: bool,
    /// Delete the records of its models first, and start without a checkpoint
    #[arg(long)]
    empty: bool,
    /// Let a full pull delete whatever is gone at the source, however much that is
    #[arg(long)]
    allow_deletes: bool,
    /// Print the job as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn trigger(global: &Global, args: TriggerArgs) -> Result<()> {
    let control = global.open_existing().await?;
    let request = TriggerRequest {
        connection: ConnectionKey {
            integration: args.sync.integration,
            connection: args.connection,
        },
        sync: args.sync.function,
        reset: args.reset,
        empty: args.empty,
        allow_deletes: args.allow_deletes,
    };
    let job = control.trigger(request).await;
    control.close().await?;
    show(&job?, args.json)
}
