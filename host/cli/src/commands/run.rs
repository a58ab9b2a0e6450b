//! `tidegate run`: one sync in the foreground, with progress; exits 0 only on success.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tidegate_engine::command;
use tidegate_engine::run::{Figures, Level, LogLine, Outcome, Run, RunId};
use tidegate_engine::store::Durability;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::{Progress, SyncRequest};
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};

use super::Global;
use super::runs::explain;
use crate::output::{self, Block};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync to run
    #[arg(value_name = "INTEGRATION/SYNC")]
    sync: FunctionName,
    /// For whom
    #[arg(long, short)]
    connection: ConnectionName,
    /// Start without a checkpoint; records are kept, so that changes are still told apart
    #[arg(long)]
    reset: bool,
    /// Delete the records of its models first, and start without a checkpoint
    #[arg(long)]
    empty: bool,
    /// Let a full pull delete whatever is gone at the source, however much that is
    #[arg(long)]
    allow_deletes: bool,
    /// Don't wait for the disk at each page: a crash may lose the last moment's pages, which the
    /// next run fetches again
    #[arg(long)]
    relaxed: bool,
    /// Write the run's cassette to this file, for `tidegate replay` and `tidegate test`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print the run as one JSON object
    #[arg(long)]
    json: bool,
}

/// `INTEGRATION/SYNC` or `INTEGRATION/ACTION`
#[derive(Debug, Clone)]
pub(super) struct FunctionName {
    pub(super) integration: Name,
    pub(super) function: Name,
}

impl FromStr for FunctionName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (integration, function) = text
            .split_once('/')
            .ok_or("write INTEGRATION/NAME, such as crm/contacts")?;
        let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
        Ok(Self {
            integration: name(integration)?,
            function: name(function)?,
        })
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let request = SyncRequest {
        connection: ConnectionKey {
            integration: args.sync.integration,
            connection: args.connection,
        },
        sync: args.sync.function,
        reset: args.reset,
        empty: args.empty,
        allow_deletes: args.allow_deletes,
        durability: if args.relaxed {
            Durability::Relaxed
        } else {
            Durability::Durable
        },
        record: args.record,
    };
    let control = global.open().await?;
    let progress = Arc::new(RunProgress::new());
    let run = control
        .run_sync(request, Arc::clone(&progress) as Arc<dyn Progress>)
        .await?;
    progress.clear();
    control.close().await?;
    if args.json {
        output::json(&views::Run::from(&run))?;
    } else {
        output::block(&explain(&run));
    }
    outcome(&run)
}

fn outcome(run: &Run) -> Result<()> {
    let Some(end) = &run.end else {
        return Err(Problem::internal(format!("run {} has no end", run.id)));
    };
    if end.outcome == Outcome::Success {
        return Ok(());
    }
    let problem = match &end.failure {
        Some(failure) => Problem::new(
            Kind::RunFailed,
            format!(
                "the run {}: {} ({}, blame: {})",
                end.outcome.as_str(),
                failure.message,
                failure.class.as_str(),
                failure.blame.as_str()
            ),
        ),
        None => Problem::new(
            Kind::RunFailed,
            format!("the run ended as {}", end.outcome.as_str()),
        ),
    };
    Err(problem.advise("see what it said", command!("logs {run}", run.id)))
}

/// How often a line of progress is printed where no bar can be drawn.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Draws a run's progress: a spinner on a terminal, a line now and then elsewhere.
pub(crate) struct RunProgress {
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl RunProgress {
    pub(crate) fn new() -> Self {
        let bar = output::is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            last_line: Mutex::new(Instant::now()),
        }
    }

    /// Take the bar away, so that results don't mix with it.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, block: &Block) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::notice_block(block)),
            None => output::notice_block(block),
        }
    }
}

impl Progress for RunProgress {
    fn started(&self, run: RunId) {
        let mut block = Block::new();
        block.line(format!("{run} started"));
        self.say(&block);
    }

    fn log(&self, line: &LogLine) {
        if line.level >= Level::Warn {
            let mut block = Block::new();
            block.quote(&format!("{:5} ", line.level.as_str()), &line.message);
            self.say(&block);
        }
    }

    fn figures(&self, figures: &Figures) {
        let total = figures.total();
        let text = format!(
            "{} pages, {} records ({} new, {} changed, {} deleted, {} skipped), {} requests, {}",
            display::count(figures.commits),
            display::count(total.total()),
            display::count(total.added),
            display::count(total.updated),
            display::count(total.deleted),
            display::count(total.skipped),
            display::count(figures.requests),
            output::bytes(figures.bytes_in),
        );
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                let mut last = self.last_line.lock();
                if last.elapsed() >= PLAIN_EVERY {
                    *last = Instant::now();
                    output::notice(format!("{} {text}", display::duration(figures.wall_ms)));
                }
            }
        }
    }
}
