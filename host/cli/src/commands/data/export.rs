//! `tidegate data export`: JSON lines to stdout, or to a file that is there whole or not at all.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tidegate_engine::{ConnectionName, Name};
use tidegate_service::problem::{Problem, Result};
use tidegate_service::transfer::{ExportScope, describe};

use super::Part;
use crate::commands::Global;
use crate::output;

/// Arguments of `data export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this integration; everything without it
    integration: Option<Name>,
    /// Only this model, of --connection
    model: Option<Name>,
    /// Only this connection
    #[arg(long, short, requires = "integration")]
    connection: Option<ConnectionName>,
    /// Write to this file rather than to stdout; only its owner may read it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let scope = match args.integration {
        None => ExportScope::All {},
        Some(integration) => match Part::of(integration, args.connection, args.model)? {
            Part::Integration(integration) => ExportScope::Integration { integration },
            Part::Connection(key) => ExportScope::Connection(key),
            Part::Model(key) => ExportScope::model(key),
        },
    };
    let control = global.open_existing().await?;
    let totals = match &args.output {
        None => {
            let mut out = BufWriter::new(std::io::stdout());
            control.export(&scope, &mut out).await?
        }
        Some(path) => {
            // It holds sealed secrets: the temporary file is its owner's alone, and stays so.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
            let file = file.map_err(|error| failed(path, &error))?;
            let mut out = BufWriter::new(file);
            let totals = control.export(&scope, &mut out).await?;
            out.flush().map_err(|error| failed(path, &error))?;
            let file = out
                .into_inner()
                .map_err(|error| failed(path, error.error()))?;
            file.as_file()
                .sync_all()
                .map_err(|error| failed(path, &error))?;
            file.persist(path)
                .map_err(|error| failed(path, &error.error))?;
            totals
        }
    };
    control.close().await?;
    output::notice(format!("exported {}", describe(totals)));
    Ok(())
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    Problem::invalid(format!("{}: {error}", path.display()))
}
