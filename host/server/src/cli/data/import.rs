//! `tidegate data import`: an export from a file or stdin, whole or not at all.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use indicatif::ProgressBar;

use crate::cli::Global;
use crate::output;
use crate::problem::{Problem, Result};
use crate::transfer::describe;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// Arguments of `data import`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The export; stdin without it
    file: Option<PathBuf>,
    /// Take no components that are not here already: an export has no signatures
    #[arg(long, env = "TIDEGATE_REQUIRE_SIGNATURE")]
    require_signature: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let mut input: Box<dyn BufRead + Send> = match &args.file {
        None => Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())),
        Some(path) => {
            let file = File::open(path)
                .map_err(|error| Problem::not_found(format!("{}: {error}", path.display())))?;
            Box::new(BufReader::with_capacity(BUFFER, file))
        }
    };
    let control = global.open().await?;
    let bar = output::is_terminal().then(ProgressBar::new_spinner);
    let mut progress = |records: u64| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{} records", output::count(records)));
            bar.tick();
        }
    };
    let imported = control
        .import(&mut *input, args.require_signature, &mut progress)
        .await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let closed = control.close().await;
    let totals = imported?;
    closed?;
    if args.json {
        return output::json(&totals);
    }
    output::line(format!("imported {}", describe(totals)));
    Ok(())
}
