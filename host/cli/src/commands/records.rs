//! `tidegate records`: a model's change feed by cursor.

use std::time::Duration;

use tidegate_engine::cursor::Cursor;
use tidegate_engine::store::{ActionFilter, Changes};
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name};
use tidegate_http::views;
use tidegate_service::control::ReadModel;
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::Global;
use crate::output;

/// Most records read from the store at once, and most bytes of bodies.
const PAGE: usize = 1000;
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often `--follow` looks for changes.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Arguments of `records`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    model: Name,
    #[arg(long, short)]
    connection: ConnectionName,
    /// Read what changed after this cursor; from the start without one
    #[arg(long)]
    cursor: Option<String>,
    /// Only records whose last action is one of these
    #[arg(long, value_delimiter = ',', value_name = "added,updated,deleted")]
    filter: Vec<String>,
    /// Most records to print
    #[arg(long, default_value_t = 100)]
    limit: u64,
    /// Go on and print changes as they come, until interrupted; between looks the data directory
    /// is free for other commands
    #[arg(long)]
    follow: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let filter = parse_filter(&args.filter)?;
    let connection = ConnectionKey {
        integration: args.integration.clone(),
        connection: args.connection.clone(),
    };
    let model = connection.model(args.model.clone());
    let mut after = args
        .cursor
        .as_deref()
        .map(str::parse::<Cursor>)
        .transpose()
        .map_err(Problem::invalid)?;
    let mut left = if args.follow { u64::MAX } else { args.limit };
    if left == 0 {
        return Err(Problem::invalid("--limit must be at least 1"));
    }
    // Heard from the start on: an interrupt in the middle of a look ends it after that look.
    let mut interrupts = args
        .follow
        .then(|| signal(SignalKind::interrupt()))
        .transpose()
        .map_err(Problem::internal)?;
    loop {
        let read = read_all(global, &args, &model, filter, &mut after, &mut left).await;
        match read {
            Ok(()) => {}
            Err(problem) if args.follow && problem.kind == Kind::DataDirectory => {
                // Another command holds the directory for a moment; the cursor waits.
            }
            Err(problem) => return Err(problem),
        }
        let Some(interrupts) = &mut interrupts else {
            break;
        };
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            _ = interrupts.recv() => break,
        }
    }
    if let (false, Some(cursor)) = (args.json, after) {
        output::notice(format!("next cursor: {cursor}"));
    }
    Ok(())
}

/// Print everything after the cursor, up to what is left to print.
async fn read_all(
    global: &Global,
    args: &Args,
    model: &ModelKey,
    filter: ActionFilter,
    after: &mut Option<Cursor>,
    left: &mut u64,
) -> Result<()> {
    let control = global.open().await?;
    let model = control.known_model(model).await?;
    loop {
        let limit = usize::try_from(*left).unwrap_or(PAGE).min(PAGE);
        let read = ReadModel {
            model: model.clone(),
            after: *after,
            filter,
            limit,
            bytes_max: PAGE_BYTES_MAX,
        };
        let changes = control.read_changes(read).await?;
        print(args, &changes)?;
        *after = Some(changes.next);
        *left -= changes.records.len() as u64;
        if !changes.more || *left == 0 {
            break;
        }
    }
    control.close().await
}

fn print(args: &Args, changes: &Changes) -> Result<()> {
    for record in &changes.records {
        let cursor = changes.cursor_after(record);
        if args.json {
            output::json(&views::Record::new(record, cursor)?)?;
        } else {
            output::line(format!(
                "{} {:7} {}  {}",
                display::time(record.last_modified_at),
                record.action.as_str(),
                record.id,
                record
                    .body
                    .as_deref()
                    .map_or_else(|| "(pruned)".to_owned(), views::in_one_line),
            ));
        }
    }
    Ok(())
}

fn parse_filter(words: &[String]) -> Result<ActionFilter> {
    if words.is_empty() {
        return Ok(ActionFilter::ALL);
    }
    let mut filter = ActionFilter {
        added: false,
        updated: false,
        deleted: false,
    };
    for word in words {
        match word.as_str() {
            "added" => filter.added = true,
            "updated" => filter.updated = true,
            "deleted" => filter.deleted = true,
            _ => {
                return Err(Problem::invalid(format!(
                    "--filter {word:?}: it takes added, updated and deleted, with commas"
                )));
            }
        }
    }
    Ok(filter)
}
