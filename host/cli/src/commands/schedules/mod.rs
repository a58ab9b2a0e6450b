//! `tidegate schedules`: made, listed, paused, previewed, removed, and what became of their moments.

mod add;
mod backfill;
mod preview;

use clap::Subcommand;
use tidegate_engine::schedule::{Schedule, ScheduleId};
use tidegate_engine::store::ScheduleFilter;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::Control;
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;
use crate::output;

/// Arguments of `schedules`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a schedule of a sync or an action; it fires while `tidegate serve` runs
    Add(Box<add::Args>),
    /// List schedules
    List(List),
    /// Show one
    Show(ScheduleArg),
    /// Fire nothing until it is resumed
    Pause(Pause),
    /// Go on from now: what was due meanwhile is not made up for
    Resume(ScheduleArg),
    /// Remove one; its jobs that wait are cancelled
    Remove(ScheduleArg),
    /// Show what became of its moments, newest first
    Fires(Fires),
    /// Fire for moments of the past, one after the other
    Backfill(backfill::Args),
    /// Show the next moments at which a cron expression or an interval is due
    Preview(preview::Args),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only this integration's
    #[arg(long, short)]
    integration: Option<Name>,
    /// Only this connection's, of --integration
    #[arg(long, short, requires = "integration")]
    connection: Option<ConnectionName>,
    /// Only paused ones
    #[arg(long)]
    paused: bool,
    /// Only those after this one: the last of the page before
    #[arg(long, value_name = "SCHEDULE")]
    after: Option<ScheduleId>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ScheduleArg {
    schedule: ScheduleId,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Pause {
    schedule: ScheduleId,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Resume by itself then, such as 2027-01-31T06:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Fires {
    schedule: ScheduleId,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    if let Command::Preview(args) = args.command {
        return preview::run(&args);
    }
    let control = global.open_existing().await?;
    let done = asked(&*control, args.command).await;
    control.close().await?;
    done
}

async fn asked(control: &dyn Control, command: Command) -> Result<()> {
    match command {
        Command::Add(args) => add::run(control, *args).await,
        Command::List(args) => list(control, args).await,
        Command::Show(one) => show(&control.schedule(one.schedule).await?, one.json),
        Command::Pause(args) => {
            let until = args.until.as_deref().map(views::moment).transpose()?;
            let paused = control.pause_schedule(args.schedule, args.note, until);
            show(&paused.await?, args.json)
        }
        Command::Resume(one) => show(&control.resume_schedule(one.schedule).await?, one.json),
        Command::Remove(one) => {
            control.remove_schedule(one.schedule).await?;
            output::notice(format!("removed {}", one.schedule));
            Ok(())
        }
        Command::Fires(args) => fires(control, &args).await,
        Command::Backfill(args) => backfill::run(control, args).await,
        Command::Preview(args) => preview::run(&args),
    }
}

async fn list(control: &dyn Control, args: List) -> Result<()> {
    let connection = args.integration.clone().zip(args.connection);
    let filter = ScheduleFilter {
        integration: args.integration,
        connection: connection.map(|(integration, connection)| ConnectionKey {
            integration,
            connection,
        }),
        paused: args.paused.then_some(true),
        after: args.after,
        limit: usize::from(args.limit),
        ..ScheduleFilter::default()
    };
    let schedules = control.schedules(filter).await?;
    if args.json {
        let mut shown = schedules.iter().map(views::Schedule::from);
        return shown.try_for_each(|schedule| output::json(&schedule));
    }
    let rows = schedules.iter().map(|schedule| {
        let target = &schedule.definition.target;
        let progress = &schedule.progress;
        vec![
            schedule.id.to_string(),
            format!("{}/{}", target.connection().integration, target.name()),
            target.connection().connection.to_string(),
            when(schedule),
            progress
                .next
                .map_or_else(|| state(schedule).to_owned(), |due| display::time(due.at)),
            progress.fires.to_string(),
            progress.failures.to_string(),
        ]
    });
    output::block(&output::table(
        &[
            "schedule",
            "what",
            "connection",
            "when",
            "next",
            "fires",
            "failures in a row",
        ],
        &["fires", "failures in a row"],
        rows,
    ));
    Ok(())
}

fn state(schedule: &Schedule) -> &'static str {
    match (&schedule.progress.paused, schedule.progress.completed) {
        (Some(_), _) => "paused",
        (None, true) => "completed",
        (None, false) => "active",
    }
}

/// Its rules in a few words.
fn when(schedule: &Schedule) -> String {
    use tidegate_engine::schedule::ScheduleRule;
    let rules = schedule.definition.when.iter().map(|when| match when {
        ScheduleRule::Every { every } => format!("every {every}"),
        ScheduleRule::Cron { cron, timezone, .. } => format!("{cron} {timezone}"),
        ScheduleRule::At { at } => display::time(*at),
    });
    rules.collect::<Vec<_>>().join(", ")
}

pub(super) fn show(schedule: &Schedule, json: bool) -> Result<()> {
    if json {
        return output::json(&views::Schedule::from(schedule));
    }
    let target = &schedule.definition.target;
    let progress = &schedule.progress;
    output::line(format!(
        "{} {}: {}/{} for {}, {}",
        schedule.id,
        state(schedule),
        target.connection().integration,
        target.name(),
        target.connection().connection,
        when(schedule)
    ));
    if let Some(due) = progress.next {
        output::line(format!("next: {}", display::time(due.at)));
    }
    if let Some(pause) = &progress.paused {
        let until = pause.until.map_or_else(String::new, |until| {
            format!(" until {}", display::time(until))
        });
        output::line(format!(
            "paused since {}{until}: {}",
            display::time(pause.at),
            pause.note
        ));
    }
    output::line(format!(
        "{} fires, {} overlaps, {} held, {} missed, {} failures in a row",
        progress.fires, progress.overlaps, progress.held, progress.missed, progress.failures
    ));
    Ok(())
}

async fn fires(control: &dyn Control, args: &Fires) -> Result<()> {
    let fires = control
        .fires(args.schedule, None, usize::from(args.limit))
        .await?;
    if args.json {
        return fires
            .iter()
            .try_for_each(|fire| output::json(&views::Fire::from(fire)));
    }
    let rows = fires.iter().map(backfill::row);
    output::block(&output::table(
        &["scheduled for", "at", "outcome"],
        &[],
        rows,
    ));
    Ok(())
}
