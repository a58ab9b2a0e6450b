//! `tidegate schedules add`: a schedule of a sync or an action.

use std::time::Duration;

use tidegate_engine::job::{JobTarget, Retry};
use tidegate_engine::schedule::{Definition, Misfire, Overlap};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};

use crate::cli::run::FunctionName;
use crate::cli::span::parse_span;
use crate::control::{Control, NewSchedule};
use crate::problem::{Problem, Result};
use crate::shown;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum MisfireArg {
    Latest,
    Skip,
    All,
}

/// Arguments of `schedules add`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to run
    #[arg(value_name = "INTEGRATION/SYNC|ACTION")]
    function: FunctionName,
    /// For whom
    #[arg(long, short)]
    connection: ConnectionName,
    /// It is an action, with this input (JSON)
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Every 15m (s, m, h, d; at least 10s), counted from 1970-01-01T00:00:00Z
    #[arg(long, value_name = "INTERVAL", required_unless_present_any = ["cron", "at"])]
    every: Option<String>,
    /// Five fields, such as '0 6 * * 1-5', or @daily
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The IANA time zone of the cron expression
    #[arg(long, default_value = "UTC", value_name = "ZONE", requires = "cron")]
    timezone: String,
    /// Once, at this time, such as 2027-01-31T06:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Start up to so much late, always the same, so that many schedules don't start together
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    spread: Option<Duration>,
    /// While an earlier one runs: skip, queue_one, cancel_previous or allow=N
    #[arg(long, default_value = "skip", value_parser = parse_overlap)]
    overlap: Overlap,
    /// Of moments that passed while nothing could fire, make up for the latest, none, or all
    #[arg(long, value_enum, default_value_t = MisfireArg::Latest)]
    misfire: MisfireArg,
    /// Attempts of each, the first included
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: u32,
    /// Pause after so many that failed for good in a row
    #[arg(long, value_name = "NUMBER")]
    pause_on_failures: Option<u32>,
    /// Adding another one with the same key changes this one
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
    /// What the application calls it
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

fn parse_overlap(text: &str) -> std::result::Result<Overlap, String> {
    match (text, text.strip_prefix("allow=")) {
        ("skip", _) => Ok(Overlap::Skip),
        ("queue_one", _) => Ok(Overlap::QueueOne),
        ("cancel_previous", _) => Ok(Overlap::CancelPrevious),
        (_, Some(max)) => {
            let max = max.parse().map_err(|_| "allow=N needs a number")?;
            Ok(Overlap::Allow { max })
        }
        _ => Err("it is skip, queue_one, cancel_previous or allow=N".to_owned()),
    }
}

pub(super) async fn run(control: &dyn Control, args: Args) -> Result<()> {
    let connection = ConnectionKey {
        integration: args.function.integration,
        connection: args.connection,
    };
    let target = match args.input {
        Some(input) => JobTarget::Action {
            connection,
            action: args.function.function,
            input: input.into(),
        },
        None => JobTarget::Sync {
            connection,
            sync: args.function.function,
            variant: Name::base_variant(),
            reset: false,
            empty: false,
            allow_deletes: false,
        },
    };
    let mut when = Vec::new();
    for rule in [
        args.every.map(|every| shown::When {
            every: Some(every),
            ..shown::When::default()
        }),
        args.cron.map(|cron| shown::When {
            cron: Some(cron),
            timezone: Some(args.timezone),
            ..shown::When::default()
        }),
        args.at.map(|at| shown::When {
            at: Some(at),
            ..shown::When::default()
        }),
    ] {
        when.extend(rule.as_ref().map(shown::When::parse).transpose()?);
    }
    let spread = args.spread.unwrap_or_default().as_millis();
    let definition = Definition {
        spread_ms: u64::try_from(spread).map_err(Problem::invalid)?,
        overlap: args.overlap,
        misfire: match args.misfire {
            MisfireArg::Latest => Misfire::Latest,
            MisfireArg::Skip => Misfire::Skip,
            MisfireArg::All => Misfire::All,
        },
        retry: Retry {
            max_attempts: args.max_attempts,
            ..Retry::default()
        },
        pause_on_failures: args.pause_on_failures,
        dedup_key: args.dedup_key,
        external_id: args.external_id,
        ..Definition::new(target, when)
    };
    let new = NewSchedule {
        id: None,
        revision: None,
        definition,
    };
    super::show(&control.put_schedule(new).await?, args.json)
}
