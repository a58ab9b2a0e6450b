//! `tidegate data`: looking after the data directory.

mod check;
mod compact;
pub(super) mod drop;
mod export;
mod import;
mod prune;
mod stats;

use clap::Subcommand;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::problem::{Problem, Result};

use super::Global;

/// Arguments of `data`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare everything stored with everything else, and name what is wrong
    Check(check::Args),
    /// Show how large the data is
    Stats(stats::Args),
    /// Write a model, a connection, an integration or everything as JSON lines
    Export(export::Args),
    /// Bring in an export, whole or not at all
    Import(import::Args),
    /// Remove the bodies of records that nothing has changed for long
    Prune(prune::Args),
    /// Remove a model, a connection or an integration
    Drop(drop::Args),
    /// Give disk space back now rather than by and by
    Compact(compact::Args),
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Check(args) => check::run(global, args).await,
        Command::Stats(args) => stats::run(global, args).await,
        Command::Export(args) => export::run(global, args).await,
        Command::Import(args) => import::run(global, args).await,
        Command::Prune(args) => prune::run(global, args).await,
        Command::Drop(args) => drop::run(global, args).await,
        Command::Compact(args) => compact::run(global, args).await,
    }
}

/// The part of the data that names on the command line say, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Integration(Name),
    Connection(ConnectionKey),
    Model(tidegate_engine::ModelKey),
}

impl Part {
    fn of(
        integration: Name,
        connection: Option<ConnectionName>,
        model: Option<Name>,
    ) -> Result<Self> {
        let Some(connection) = connection else {
            return match model {
                None => Ok(Self::Integration(integration)),
                Some(model) => Err(Problem::invalid(format!(
                    "model {model} of which connection? add --connection CONNECTION"
                ))),
            };
        };
        let key = ConnectionKey {
            integration,
            connection,
        };
        Ok(match model {
            None => Self::Connection(key),
            Some(model) => Self::Model(key.model(model)),
        })
    }
}
