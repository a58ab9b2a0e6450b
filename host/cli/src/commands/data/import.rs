//! `tidegate data import`: an export from a file or stdin, whole or not at all.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use tidegate_engine::grant::Grants;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use tidegate_service::transfer::{AcceptedGrants, Granted, ImportTerms, describe, granted};

use crate::commands::{Global, confirmed, deploy};
use crate::output::{self, Block};

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
    /// Don't ask whether its integrations shall be granted what it says
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let terms = ImportTerms {
        signed_only: args.require_signature,
        grants: agreed(&args)?,
    };
    let mut input: Box<dyn BufRead + Send> = match &args.file {
        None => Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())),
        Some(path) => open(path)?,
    };
    let control = global.open().await?;
    let bar = output::is_terminal().then(ProgressBar::new_spinner);
    let mut progress = |records: u64| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{} records", display::count(records)));
            bar.tick();
        }
    };
    let imported = control.import(&mut *input, &terms, &mut progress).await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let closed = control.close().await;
    let brought = imported?;
    closed?;
    if args.json {
        return output::json(&brought);
    }
    output::block(&shown(&brought.granted));
    output::line(format!("imported {}", describe(brought.totals)));
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let file = File::open(path)
        .map_err(|error| Problem::not_found(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
}

/// The grants that it may bring: with `--yes` whatever it has, else those of the file that somebody has seen.
fn agreed(args: &Args) -> Result<AcceptedGrants> {
    let Some(path) = args.file.as_deref().filter(|_| !args.yes) else {
        return Ok(match args.yes {
            true => AcceptedGrants::Any,
            false => AcceptedGrants::These(Vec::new()),
        });
    };
    let granted = granted(&mut *open(path)?)?;
    if !granted.is_empty() {
        output::notice_block(&shown(&granted));
        if !confirmed("import it with these grants?", "nothing was imported")? {
            return Err(Problem::invalid("nothing was imported"));
        }
    }
    Ok(AcceptedGrants::These(granted))
}

/// What integrations are granted, as a deploy shows it.
fn shown(all: &[Granted]) -> Block {
    let list = |grants: &Grants| match deploy::granted(grants) {
        some if some.is_empty() => "nothing".to_owned(),
        some => some.join(", "),
    };
    let mut block = Block::new();
    for one in all {
        block.line(format!("integration  {}", one.integration));
        block.line(format!("granted      {}", list(&one.current)));
        for (number, grants) in one.earlier.iter().filter(|(_, g)| *g != one.current) {
            block.line(format!("deployment {number} before it  {}", list(grants)));
        }
    }
    block
}
