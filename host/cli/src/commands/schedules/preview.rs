//! `tidegate schedules preview`: when something would be due.

use jiff::tz::TimeZone;
use serde_json::json;
use tidegate_engine::Timestamp;
use tidegate_engine::schedule::{Cron, Interval, Timing};
use tidegate_service::problem::{Problem, Result};

use crate::output;

/// Arguments of `schedules preview`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Five fields, such as '0 6 * * 1-5', or @daily
    #[arg(
        long,
        value_name = "EXPRESSION",
        conflicts_with = "every",
        required_unless_present = "every"
    )]
    cron: Option<String>,
    /// Such as 15m (s, m, h, d; at least 10s), counted from 1970-01-01T00:00:00Z
    #[arg(long, value_name = "INTERVAL", required_unless_present = "cron")]
    every: Option<String>,
    /// The IANA time zone of the cron expression
    #[arg(long, default_value = "UTC", value_name = "ZONE", requires = "cron")]
    timezone: String,
    /// How many moments
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// After this moment, such as 2026-03-28T00:00:00Z, instead of now
    #[arg(long, value_name = "TIME")]
    after: Option<jiff::Timestamp>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let timing = match (&args.cron, &args.every) {
        (Some(cron), _) => {
            let cron = Cron::new(cron, &args.timezone).map_err(Problem::invalid)?;
            Timing::Cron(Box::new(cron))
        }
        (None, every) => {
            let every = every.as_deref().unwrap_or_default();
            Timing::Every(every.parse::<Interval>().map_err(Problem::invalid)?)
        }
    };
    let zone = match &timing {
        Timing::Cron(cron) => cron.zone().clone(),
        _ => TimeZone::UTC,
    };
    let after = args.after.unwrap_or_else(jiff::Timestamp::now);
    let after = u64::try_from(after.as_millisecond())
        .map_err(|_| Problem::invalid("--after lies before 1970, and nothing is due there"))?;
    for at in timing.preview(Timestamp(after), usize::from(args.count)) {
        let moment = i64::try_from(at.0).map_err(Problem::internal)?;
        let moment = jiff::Timestamp::from_millisecond(moment).map_err(Problem::internal)?;
        // The offset is part of it: on the days on which clocks change the same time comes twice.
        let local = moment.to_zoned(zone.clone());
        let local = local.strftime("%Y-%m-%dT%H:%M:%S%:z");
        if args.json {
            output::json(
                &json!({"scheduled_for": moment.to_string(), "local": local.to_string()}),
            )?;
        } else {
            output::line(format!("{moment}  {local}"));
        }
    }
    Ok(())
}
