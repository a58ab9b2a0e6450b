//! What the demo shows at its end: an object for programs, tables for people.

use std::path::PathBuf;
use tidegate_engine::command;
use tidegate_engine::command_line::CommandLine;

use serde::Serialize;
use serde_json::Value;
use tidegate_engine::integration::Digest;
use tidegate_engine::record::{Action, Counts, Record};
use tidegate_engine::run::{Outcome, Run, RunId};
use tidegate_runtime::Inspection;
use tidegate_service::display;

use crate::author::program;
use crate::output::{self, Block};

/// What `tidegate demo --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The data directory.
    data: String,
    plugin: PluginLine,
    /// In the order they ran.
    syncs: Vec<SyncLine>,
    /// The last changes of the change feed, oldest first.
    feed: Vec<ChangeLine>,
    #[serde(skip)]
    directory: PathBuf,
}

/// The demo's plugin.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PluginLine {
    name: String,
    version: String,
    digest: Digest,
    bytes: usize,
}

/// One run of a sync.
#[derive(Debug, Serialize)]
pub(super) struct SyncLine {
    sync: String,
    /// 1 is the first pull, 2 the one after the source has changed.
    round: u32,
    run: RunId,
    outcome: Outcome,
    #[serde(flatten)]
    counts: Counts,
    requests: u64,
    /// Bodies of responses, decompressed.
    bytes: u64,
    duration_ms: u64,
}

/// One change of the change feed.
#[derive(Debug, Serialize)]
pub(super) struct ChangeLine {
    model: String,
    id: String,
    action: Action,
    /// Where a reader goes on after this change.
    cursor: String,
    #[serde(skip)]
    name: String,
}

impl Report {
    pub(super) fn new(
        directory: PathBuf,
        plugin: PluginLine,
        syncs: Vec<SyncLine>,
        feed: Vec<ChangeLine>,
    ) -> Self {
        Self {
            data: directory.display().to_string(),
            plugin,
            syncs,
            feed,
            directory,
        }
    }

    /// For people: tables, where the data lies, and what to try next.
    pub(crate) fn text(&self) -> Block {
        let rows = self.syncs.iter().map(SyncLine::row);
        let heading = [
            "sync",
            "round",
            "added",
            "updated",
            "deleted",
            "unchanged",
            "requests",
            "bytes",
            "time",
        ];
        let right = [
            "round",
            "added",
            "updated",
            "deleted",
            "unchanged",
            "requests",
            "bytes",
            "time",
        ];
        let syncs = output::table(&heading, &right, rows);
        let rows = self.feed.iter().map(ChangeLine::row);
        let feed = output::table(&["action", "model", "id", "name", "cursor"], &[], rows);
        let mut block = syncs;
        block.line("");
        block.line("The end of the change feed:");
        block.block(&feed);
        block.line("");
        block.line(format!("The data lies in {}", self.directory.display()));
        block.line("");
        block.line("Try next:");
        for command in self.next_commands() {
            block.line(format!("  {command}"));
        }
        block
    }

    fn next_commands(&self) -> [CommandLine; 3] {
        let data = program::path(&self.directory);
        let last_run = self.syncs.last().map(|line| line.run.to_string());
        [
            command!(
                "records {integration} Contact --connection {connection} --filter deleted --limit 5",
                self.plugin.name,
                super::CONNECTION
            )
            .option("--data", &data),
            command!("logs {run}", last_run.unwrap_or_default()).option("--data", &data),
            command!("new my-sync"),
        ]
        .map(|command| command.of_program(program::here()))
    }
}

impl PluginLine {
    pub(super) fn new(inspection: &Inspection) -> Self {
        Self {
            name: inspection.manifest.name.to_string(),
            version: inspection.manifest.version.to_string(),
            digest: inspection.digest,
            bytes: inspection.bytes,
        }
    }
}

impl SyncLine {
    /// What a run that has ended did; `None` for one that has not.
    pub(super) fn new(sync: &str, round: u32, run: &Run) -> Option<Self> {
        let end = run.end.as_ref()?;
        Some(Self {
            sync: sync.to_owned(),
            round,
            run: run.id,
            outcome: end.outcome,
            counts: end.figures.total(),
            requests: end.figures.requests,
            bytes: end.figures.bytes_in,
            duration_ms: end.at.0.saturating_sub(run.started_at.0),
        })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn row(&self) -> Vec<String> {
        let Counts {
            added,
            updated,
            deleted,
            unchanged,
            skipped: _,
        } = self.counts;
        let mut row = vec![self.sync.clone(), self.round.to_string()];
        row.extend([added, updated, deleted, unchanged, self.requests].map(display::count));
        row.push(output::bytes(self.bytes));
        row.push(display::duration(self.duration_ms));
        row
    }
}

impl ChangeLine {
    pub(super) fn new(model: &str, record: &Record, cursor: String) -> Self {
        let body: Option<Value> = record
            .body
            .as_deref()
            .and_then(|body| serde_json::from_str(body).ok());
        let name = body
            .as_ref()
            .and_then(|body| body.get("name"))
            .and_then(Value::as_str);
        Self {
            model: model.to_owned(),
            id: record.id.clone(),
            action: record.action,
            cursor,
            name: name.unwrap_or_default().to_owned(),
        }
    }

    fn row(&self) -> Vec<String> {
        let Self {
            model,
            id,
            action,
            cursor,
            name,
        } = self;
        vec![
            action.as_str().to_owned(),
            model.clone(),
            id.clone(),
            name.clone(),
            short(cursor),
        ]
    }
}

/// The start and the end of a cursor, which tell neighbours apart.
fn short(cursor: &str) -> String {
    const SHOWN: usize = 12;
    let characters: Vec<char> = cursor.chars().collect();
    match (
        characters.first_chunk::<4>(),
        characters.last_chunk::<SHOWN>(),
    ) {
        (Some(start), Some(end)) if characters.len() > SHOWN + 4 => {
            format!(
                "{}...{}",
                start.iter().collect::<String>(),
                end.iter().collect::<String>()
            )
        }
        _ => cursor.to_owned(),
    }
}

/// `2,000 added, 3 deleted`: what is not zero.
pub(super) fn counted(counts: Counts) -> String {
    let Counts {
        added,
        updated,
        deleted,
        unchanged,
        skipped,
    } = counts;
    let parts = [
        (added, "added"),
        (updated, "updated"),
        (deleted, "deleted"),
        (unchanged, "unchanged"),
        (skipped, "skipped"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{} {what}", display::count(*count)))
        .collect();
    if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    }
}
