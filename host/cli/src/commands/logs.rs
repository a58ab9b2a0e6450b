//! `tidegate logs`: what a run logged and printed.

use tidegate_engine::run::{Level, LogSource, RunId};
use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;
use crate::output::{self, Block};

/// Lines read from the store at once.
const PAGE: usize = 1000;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run, as `tidegate runs` lists it
    run: RunId,
    /// Only lines of this level or above: debug, info, warn, error
    #[arg(long, default_value = "debug", value_parser = parse_level)]
    level: Level,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open().await?;
    let mut from = 0;
    loop {
        let lines = control.logs(args.run, from, PAGE).await?;
        for line in lines.iter().filter(|line| line.level >= args.level) {
            if args.json {
                output::json(&views::LogLine::from(line))?;
                continue;
            }
            let source = match line.source {
                LogSource::Plugin => "",
                LogSource::Stdout => "stdout: ",
                LogSource::Stderr => "stderr: ",
                LogSource::Host => "tidegate: ",
            };
            let fields = line
                .fields
                .as_ref()
                .map(|fields| format!(" {fields}"))
                .unwrap_or_default();
            let (at, level) = (display::time(line.at), line.level.as_str());
            let mut block = Block::new();
            let said = format!("{}{fields}", line.message);
            block.quote(&format!("{at} {level:5} {source}"), &said);
            output::block(&block);
        }
        match lines.last() {
            Some(last) if lines.len() == PAGE => from = last.index + 1,
            _ => break,
        }
    }
    control.close().await
}

fn parse_level(text: &str) -> std::result::Result<Level, String> {
    match text {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" => Ok(Level::Warn),
        "error" => Ok(Level::Error),
        _ => Err("a level is debug, info, warn or error".to_owned()),
    }
}
