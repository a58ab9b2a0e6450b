//! `tidegate syncs`: what a connection's syncs write, when they run and ran; pausing and starting them.

use clap::Subcommand;
use tidegate_engine::store::ModelStats;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::{Control, SyncStatus};
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;
use super::run::FunctionName;
use crate::output;

/// Arguments of `syncs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the syncs of a connection
    List(List),
    /// Pause all schedules of one
    Pause(Pause),
    /// Resume them, or make the manifest's default schedule
    Start(SyncArg),
}

#[derive(Debug, clap::Args)]
struct List {
    integration: Name,
    /// Whose
    #[arg(long, short)]
    connection: ConnectionName,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SyncArg {
    /// The sync
    #[arg(value_name = "INTEGRATION/SYNC")]
    sync: FunctionName,
    /// Whose
    #[arg(long, short)]
    connection: ConnectionName,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

impl SyncArg {
    fn key(&self) -> ConnectionKey {
        ConnectionKey {
            integration: self.sync.integration.clone(),
            connection: self.connection.clone(),
        }
    }
}

#[derive(Debug, clap::Args)]
struct Pause {
    #[command(flatten)]
    one: SyncArg,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Resume by itself then, such as 2027-01-31T06:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
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
        Command::Pause(Pause { one, note, until }) => {
            let until = until.as_deref().map(views::moment).transpose()?;
            let (key, sync) = (one.key(), &one.sync.function);
            let paused = control.pause_sync(&key, sync, note, until).await?;
            show(paused, one.json)
        }
        Command::Start(one) => {
            let started = control.start_sync(&one.key(), &one.sync.function).await?;
            show(started, one.json)
        }
    }
}

async fn list(control: &dyn Control, args: List) -> Result<()> {
    let key = ConnectionKey {
        integration: args.integration,
        connection: args.connection,
    };
    let syncs = control.syncs(&key).await?;
    if args.json {
        let mut shown = syncs.into_iter().map(views::Sync::try_from);
        return shown.try_for_each(|sync| output::json(&sync?));
    }
    let rows = syncs.iter().map(row);
    output::block(&output::table(
        &[
            "sync", "models", "records", "deleted", "next", "last run", "started",
        ],
        &["records", "deleted"],
        rows,
    ));
    Ok(())
}

fn row(status: &SyncStatus) -> Vec<String> {
    let models: Vec<&str> = status
        .models
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let sum = |of: fn(&ModelStats) -> u64| -> u64 {
        status.models.iter().map(|(_, stats)| of(stats)).sum()
    };
    let last = status.last_run.as_ref();
    vec![
        status.sync.to_string(),
        models.join(", "),
        display::count(sum(|stats| stats.live)),
        display::count(sum(|stats| stats.deleted)),
        next(status),
        last.map_or_else(String::new, |run| run.outcome().to_owned()),
        last.map_or_else(String::new, |run| display::time(run.started_at)),
    ]
}

/// When it starts next by its schedules; nothing if it has none.
fn next(status: &SyncStatus) -> String {
    let all = || status.schedules.iter().map(|schedule| &schedule.progress);
    let due = all().filter_map(|progress| progress.next);
    match due.map(|due| due.at).min() {
        Some(first) => display::time(first),
        None if all().any(|progress| progress.paused.is_some()) => "paused".to_owned(),
        None => String::new(),
    }
}

fn show(status: SyncStatus, json: bool) -> Result<()> {
    if json {
        return output::json(&views::Sync::try_from(status)?);
    }
    if status.schedules.is_empty() {
        output::notice(format!("{} has no schedule", status.sync));
    }
    let mut schedules = status.schedules.iter();
    schedules.try_for_each(|schedule| super::schedules::show(schedule, false))
}
