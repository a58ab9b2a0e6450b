//! `tidegate connections import`: many connections from a file, once every row is found good.

use std::path::PathBuf;

use serde_json::json;
use tidegate_engine::Name;
use tidegate_service::control::NewConnections;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};

use super::rows::{self, Format};
use crate::commands::Global;
use crate::output;
use crate::secrets::Sources;

/// Arguments of `connections import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    /// JSON lines or CSV, one connection a row
    file: PathBuf,
    /// What the file is, when its name does not end in .jsonl, .ndjson or .csv
    #[arg(long)]
    format: Option<Format>,
    /// Let rows take secrets from variables whose names begin so: env:PREFIX…
    #[arg(long, value_name = "PREFIX")]
    secret_env_prefix: Vec<String>,
    /// Let rows take secrets from files below this folder: file:PATH
    #[arg(long, value_name = "DIR")]
    secrets_dir: Vec<PathBuf>,
    /// Check every row, and add nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave out connections that exist already; completes an import that was interrupted
    #[arg(long)]
    skip_existing: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let sources = Sources::new(args.secret_env_prefix, &args.secrets_dir, &global.data)?;
    let rows = rows::read(&args.integration, &args.file, args.format, &sources)?;
    let rows::Rows { good, mut bad } = rows;
    let count = good.len() + bad.len();
    if count == 0 {
        return Err(Problem::invalid("it has no rows").at(args.file.display()));
    }
    let control = global.open_existing().await?;
    let request = NewConnections {
        integration: args.integration,
        rows: good,
        skip_existing: args.skip_existing,
        // Rows that can be read are checked all the same.
        dry_run: args.dry_run || !bad.is_empty(),
    };
    let done = control.add_connections(request).await?;
    control.close().await?;
    bad.extend(done.bad);
    bad.sort_by_key(|(line, _)| *line);
    if args.json {
        let bad = bad
            .iter()
            .map(|(line, problem)| json!({"line": line, "error": problem.message}));
        output::json(&json!({
            "rows": count,
            "added": if bad.len() == 0 { done.added } else { 0 },
            "skipped": done.skipped,
            "bad": bad.collect::<Vec<_>>(),
            "dry_run": args.dry_run,
        }))?;
    }
    if !bad.is_empty() {
        for (line, problem) in &bad {
            output::about(&format!("line {line}: "), problem);
        }
        let message = format!(
            "{} of {} can't be added, and nothing was",
            bad.len(),
            display::counted(count as u64, "row")
        );
        return Err(Problem::invalid(message).at(args.file.display()));
    }
    if !args.json {
        let verb = if args.dry_run { "would add" } else { "added" };
        let added = display::counted(done.added, "connection");
        let skipped = match done.skipped {
            0 => String::new(),
            count => format!("; {} left out, as they exist", display::count(count)),
        };
        output::line(format!("{verb} {added}{skipped}"));
    }
    Ok(())
}
