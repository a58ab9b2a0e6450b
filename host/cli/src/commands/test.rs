//! `tidegate test`: replay a plugin's cassettes as its regression tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tidegate_engine::command;
use tidegate_service::cassettes::CassetteWriter;
use tidegate_service::problem::{Kind, Problem, Result};
use tidegate_service::replay::{self, Options, Report, Stage};

use super::replay::read_component;
use crate::author::compile::Echo;
use crate::author::package::Package;
use crate::output::{self, Block};

/// Where a plugin's cassettes lie in its crate.
const FOLDER: &str = "cassettes";

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's crate, with its cassettes in `cassettes/*.jsonl`
    #[arg(default_value = ".", value_name = "DIR")]
    path: PathBuf,
    /// A component to test instead of building the crate
    #[arg(long, value_name = "FILE.wasm")]
    plugin: Option<PathBuf>,
    /// Compare log lines too
    #[arg(long)]
    logs: bool,
    /// Take what differs for right: write it into the cassettes
    #[arg(long)]
    bless: bool,
    /// Print one JSON object for each cassette
    #[arg(long)]
    json: bool,
}

/// A cassette's result, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Tested<'a> {
    cassette: String,
    blessed: bool,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let files = cassettes(&args.path)?;
    let component = match &args.plugin {
        Some(plugin) => plugin.clone(),
        None => {
            let package = Package::find(&args.path).await?;
            package.prepare().await?;
            package.compile(Echo::Stderr).await?
        }
    };
    let stage = Stage::set(&read_component(&component)?).await?;
    let (mut differing, mut blessed) = (0, 0);
    for file in &files {
        let cassette = replay::read(file)?;
        let options = Options {
            logs: args.logs,
            take: None,
        };
        let played = stage.play(&cassette, options).await;
        let report = played.map_err(|problem| problem.at(file.display()))?;
        let bless = args.bless && !report.equal && !report.incomplete;
        if bless {
            let options = Options {
                logs: false,
                take: Some(CassetteWriter::to(file)?),
            };
            stage.play(&cassette, options).await?;
            blessed += 1;
        } else if !report.equal {
            differing += 1;
        }
        if args.json {
            output::json(&Tested {
                cassette: file.display().to_string(),
                blessed: bless,
                report: &report,
            })?;
        } else {
            show(file, &report, bless);
        }
    }
    let equal = files.len() - differing - blessed;
    let summary = format!(
        "{} cassettes: {equal} equal, {blessed} blessed, {differing} different",
        files.len()
    );
    if !args.json {
        output::line(&summary);
    }
    if differing > 0 {
        let hint = "if that is what the plugin shall do, take it for right with --bless; where a \
                    request is not in a cassette, record it again";
        return Err(Problem::new(Kind::RunFailed, summary).hint(hint));
    }
    Ok(())
}

fn show(file: &Path, report: &Report, blessed: bool) {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let word = match (report.equal, blessed) {
        (true, _) => "equal  ",
        (false, true) => "blessed",
        (false, false) => "differs",
    };
    output::line(format!("{word} {name}: {}", report.figures()));
    for difference in &report.differences {
        let mut block = Block::new();
        block.quote("    ", &difference.to_string());
        output::block(&block);
    }
}

/// The cassettes of the crate at `path`, by name.
fn cassettes(path: &Path) -> Result<Vec<PathBuf>> {
    let folder = if path.is_dir() {
        path.join(FOLDER)
    } else {
        path.with_file_name(FOLDER)
    };
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut files = match read() {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Problem::internal(error).at(folder.display())),
    };
    files.retain(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    if files.is_empty() {
        let file = folder.join("NAME.jsonl");
        let folder = folder.display();
        return Err(
            Problem::not_found(format!("no cassettes: {folder} holds no .jsonl file")).advise(
                "record one with",
                command!(
                    "run INTEGRATION/SYNC -c CONNECTION --record {file}",
                    file.display()
                ),
            ),
        );
    }
    Ok(files)
}
