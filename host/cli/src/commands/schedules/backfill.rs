//! `tidegate schedules backfill`: firing for moments of the past.

use tidegate_engine::schedule::{Fire, FireOutcome, ScheduleId};
use tidegate_engine::store::RefirePolicy;
use tidegate_http::views;
use tidegate_service::control::{BackfillRequest, Control};
use tidegate_service::display;
use tidegate_service::problem::Result;

use crate::output;

/// Which moments that were fired are fired again.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RefireArg {
    Never,
    Failed,
    Always,
}

/// Arguments of `schedules backfill`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    schedule: ScheduleId,
    /// From this time on, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Up to before this time
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Fire again for moments that have a job: those that failed, or all
    #[arg(long, value_enum, default_value_t = RefireArg::Never)]
    again: RefireArg,
    /// Only show the moments
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(control: &dyn Control, args: Args) -> Result<()> {
    let request = BackfillRequest {
        schedule: args.schedule,
        from: views::moment(&args.from)?,
        until: views::moment(&args.until)?,
        again: match args.again {
            RefireArg::Never => RefirePolicy::Never,
            RefireArg::Failed => RefirePolicy::Failed,
            RefireArg::Always => RefirePolicy::Always,
        },
        dry_run: args.dry_run,
    };
    let done = control.backfill(request).await?;
    if args.dry_run {
        for moment in &done.moments {
            output::line(display::time(*moment));
        }
        return Ok(());
    }
    if args.json {
        return done
            .fires
            .iter()
            .try_for_each(|fire| output::json(&views::Fire::from(fire)));
    }
    output::line(format!(
        "{} of {} moments are queued",
        done.fires.len(),
        done.moments.len()
    ));
    Ok(())
}

/// A fire in a table.
pub(super) fn row(fire: &Fire) -> Vec<String> {
    let outcome = match &fire.outcome {
        FireOutcome::Started { job } => format!("started {job}"),
        FireOutcome::Overlap => "skipped: the one before had not ended".to_owned(),
        FireOutcome::Held { reason } => format!("held: {}", reason.as_str()),
        FireOutcome::Missed { until, moments } => {
            format!("missed: {moments} moments until {}", display::time(*until))
        }
    };
    vec![
        display::time(fire.scheduled_for),
        display::time(fire.at),
        outcome,
    ]
}
