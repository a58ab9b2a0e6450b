//! `tidegate schedules add`: a schedule of a sync or an action.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_engine::job::{JobTarget, Priority, Retry};
use tidegate_engine::schedule::{Definition, Misfire, Overlap, ScheduleRule};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::{Control, NewSchedule};
use tidegate_service::problem::{Problem, Result};

use crate::commands::run::FunctionName;
use crate::commands::span::parse_span;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum MisfireArg {
    Latest,
    Skip,
    All,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum GapArg {
    Shift,
    Skip,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PriorityArg {
    High,
    Normal,
    Low,
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
    /// Every 15m (s, m, h, d; at least 10s), counted from 1970-01-01T00:00:00Z; may be repeated, as --cron and --at
    #[arg(long, value_name = "INTERVAL", required_unless_present_any = ["cron", "at"])]
    every: Vec<String>,
    /// Five fields, such as '0 6 * * 1-5', or @daily
    #[arg(long, value_name = "EXPRESSION")]
    cron: Vec<String>,
    /// The IANA time zone of cron expressions, instead of UTC
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What becomes of a cron expression's fixed time within an hour that the clock leaves out, instead of shift
    #[arg(long, value_enum)]
    dst_gap: Option<GapArg>,
    /// Once, at this time, such as 2027-01-31T06:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Vec<String>,
    /// But not at the moments of every=INTERVAL, cron=EXPRESSION or at=TIME; may be repeated
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    exclude: Vec<views::ScheduleRule>,
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    start_at: Option<String>,
    /// Not after this time
    #[arg(long, value_name = "TIME")]
    end_at: Option<String>,
    /// Completed after so many fires
    #[arg(long, value_name = "NUMBER")]
    max_fires: Option<u64>,
    /// Start up to so much late, always the same, so that many schedules don't start together
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    spread: Option<Duration>,
    /// While an earlier one runs: skip, queue_one, cancel_previous or allow=N
    #[arg(long, default_value = "skip", value_parser = parse_overlap)]
    overlap: Overlap,
    /// Of moments that passed while nothing could fire, make up for the latest, none, or all
    #[arg(long, value_enum, default_value_t = MisfireArg::Latest)]
    misfire: MisfireArg,
    /// Make up for nothing that is later than this; by default until the next is due, a day at most
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    catchup_window: Option<Duration>,
    /// Make up for so many at once, with --misfire all
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    max_catchup: u32,
    /// Attempts of each, the first included
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_attempts: u32,
    /// The wait before the second attempt; each further one is twice as long
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_span)]
    retry_first: Duration,
    /// The longest wait between two attempts
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = parse_span)]
    retry_max: Duration,
    /// Whose turn it is when there is not room for all
    #[arg(long, value_enum, default_value_t = PriorityArg::Normal)]
    priority: PriorityArg,
    /// A job that waits longer than this for its first run expires
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    queue_ttl: Option<Duration>,
    /// Pause after so many that failed for good in a row
    #[arg(long, value_name = "NUMBER")]
    pause_on_failures: Option<u32>,
    /// Adding another one with the same key changes this one
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
    /// What the application calls it
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A label; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
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

fn parse_rule(text: &str) -> std::result::Result<views::ScheduleRule, String> {
    match text.split_once('=') {
        Some(("every", every)) => Ok(every_rule(every.to_owned())),
        Some(("cron", cron)) => Ok(cron_rule(cron.to_owned())),
        Some(("at", at)) => Ok(at_rule(at.to_owned())),
        _ => Err("it is every=INTERVAL, cron=EXPRESSION or at=TIME".to_owned()),
    }
}

fn every_rule(every: String) -> views::ScheduleRule {
    views::ScheduleRule {
        every: Some(every),
        ..views::ScheduleRule::default()
    }
}

fn cron_rule(cron: String) -> views::ScheduleRule {
    views::ScheduleRule {
        cron: Some(cron),
        ..views::ScheduleRule::default()
    }
}

fn at_rule(at: String) -> views::ScheduleRule {
    views::ScheduleRule {
        at: Some(at),
        ..views::ScheduleRule::default()
    }
}

fn parse_label(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn ms(span: Duration) -> Result<u64> {
    u64::try_from(span.as_millis()).map_err(Problem::invalid)
}

pub(super) async fn run(control: &dyn Control, args: Args) -> Result<()> {
    let json = args.json;
    let new = NewSchedule {
        id: None,
        revision: None,
        definition: definition(args)?,
    };
    super::show(&control.put_schedule(new).await?, json)
}

fn definition(args: Args) -> Result<Definition> {
    let rules = Rules::of(&args)?;
    let connection = ConnectionKey {
        integration: args.function.integration,
        connection: args.connection,
    };
    let moment = |text: Option<String>| text.as_deref().map(views::moment).transpose();
    let given = args.label.len();
    let labels: BTreeMap<_, _> = args.label.into_iter().collect();
    if labels.len() < given {
        return Err(Problem::invalid("a label is given twice"));
    }
    Ok(Definition {
        target: target(connection, args.function.function, args.input),
        when: rules.when,
        exclude: rules.exclude,
        start_at: moment(args.start_at)?,
        end_at: moment(args.end_at)?,
        max_fires: args.max_fires,
        spread_ms: ms(args.spread.unwrap_or_default())?,
        overlap: args.overlap,
        misfire: match args.misfire {
            MisfireArg::Latest => Misfire::Latest,
            MisfireArg::Skip => Misfire::Skip,
            MisfireArg::All => Misfire::All,
        },
        catchup_window_ms: args.catchup_window.map(ms).transpose()?,
        max_catchup: args.max_catchup,
        pause_on_failures: args.pause_on_failures,
        priority: match args.priority {
            PriorityArg::High => Priority::High,
            PriorityArg::Normal => Priority::Normal,
            PriorityArg::Low => Priority::Low,
        },
        retry: Retry {
            max_attempts: args.max_attempts,
            first_ms: ms(args.retry_first)?,
            max_ms: ms(args.retry_max)?,
        },
        queue_ttl_ms: args.queue_ttl.map(ms).transpose()?,
        external_id: args.external_id,
        dedup_key: args.dedup_key,
        labels,
    })
}

/// An action if there is an input, else a sync.
fn target(connection: ConnectionKey, name: Name, input: Option<String>) -> JobTarget {
    match input {
        Some(input) => JobTarget::Action {
            connection,
            action: name,
            input: input.into(),
        },
        None => JobTarget::Sync {
            connection,
            sync: name,
            variant: Name::base_variant(),
            reset: false,
            empty: false,
            allow_deletes: false,
        },
    }
}

/// When it is due, and when not.
struct Rules {
    when: Vec<ScheduleRule>,
    exclude: Vec<ScheduleRule>,
}

impl Rules {
    fn of(args: &Args) -> Result<Self> {
        let every = args.every.iter().cloned().map(every_rule);
        let cron = args.cron.iter().cloned().map(cron_rule);
        let at = args.at.iter().cloned().map(at_rule);
        let when: Vec<views::ScheduleRule> = every.chain(cron).chain(at).collect();
        let mut rules = when.iter().chain(&args.exclude);
        let is_zoned = args.timezone.is_some() || args.dst_gap.is_some();
        if is_zoned && !rules.any(|rule| rule.cron.is_some()) {
            let message = "--timezone and --dst-gap are about cron expressions, and there is none";
            return Err(Problem::invalid(message));
        }
        let gap = args.dst_gap.map(|gap| match gap {
            GapArg::Shift => views::DstGap::Shift,
            GapArg::Skip => views::DstGap::Skip,
        });
        let parsed = |rules: &[views::ScheduleRule]| {
            let zoned = rules.iter().cloned().map(|mut rule| {
                if rule.cron.is_some() {
                    rule.timezone.clone_from(&args.timezone);
                    rule.dst_gap = gap;
                }
                rule.parse()
            });
            zoned.collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            when: parsed(&when)?,
            exclude: parsed(&args.exclude)?,
        })
    }
}
