//! `tidegate replay`: run a cassette again, without network or store, and compare every commit.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_engine::integration::Digest;
use tidegate_engine::run::RunId;
use tidegate_service::cassettes::{self, CassetteWriter};
use tidegate_service::problem::{Kind, Problem, Result};
use tidegate_service::replay::{self, Options, Stage};

use super::Global;
use crate::output::{self, Block};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A cassette's file, or a run that a connection's ring has kept (`tidegate cassettes list`)
    #[arg(value_name = "FILE|RUN")]
    cassette: String,
    /// The component to run; the recorded one from the data directory if not given
    #[arg(long, value_name = "FILE.wasm")]
    plugin: Option<PathBuf>,
    /// Compare log lines too
    #[arg(long)]
    logs: bool,
    /// Write what the replay does as a cassette
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let path = match args.cassette.parse::<RunId>() {
        Ok(run) => cassettes::find(&global.data, run)?,
        Err(_) => PathBuf::from(&args.cassette),
    };
    let cassette = replay::read(&path)?;
    let component = match &args.plugin {
        Some(plugin) => read_component(plugin)?,
        None => recorded_component(global, cassette.head.plugin.digest).await?,
    };
    let stage = Stage::set(&component).await?;
    let options = Options {
        logs: args.logs,
        take: args.record.as_deref().map(CassetteWriter::to).transpose()?,
    };
    let report = stage.play(&cassette, options).await?;
    if args.json {
        output::json(&report)?;
    } else if report.equal {
        output::line(format!("equal: {}", report.figures()));
        output::line(report.plugins());
    } else {
        for difference in &report.differences {
            let mut block = Block::new();
            block.quote("", &difference.to_string());
            output::block(&block);
        }
        output::line(report.plugins());
    }
    if report.equal {
        return Ok(());
    }
    let places = report.differences.len();
    let message = match places {
        1 => "the replay differs from the recording".to_owned(),
        _ => format!("the replay differs from the recording in {places} places"),
    };
    Err(Problem::new(Kind::RunFailed, message))
}

/// A component's file.
pub(super) fn read_component(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Problem::not_found(error).at(path.display()))
}

async fn recorded_component(global: &Global, digest: Digest) -> Result<Vec<u8>> {
    const HINT: &str = "give the plugin's component with --plugin FILE.wasm";
    if !global.data.is_dir() {
        let message = format!(
            "the recorded component (sha256 {digest}) would be in the data directory {}, which is not there",
            global.data.display()
        );
        return Err(Problem::not_found(message).hint(HINT));
    }
    let control = global.open().await?;
    let component = control.component(digest).await;
    control.close().await?;
    component
        .map(|bytes| bytes.0)
        .map_err(|problem| problem.hint(HINT))
}
