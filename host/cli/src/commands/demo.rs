//! `tidegate demo`: show everything once.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};
use tidegate_service::problem::Result;

use crate::demo;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --data, the demo makes a temporary data directory, keeps it, and says where it is."
)]
pub(crate) struct Args {
    #[command(flatten)]
    data: GivenData,
    /// Contacts of the source API
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    contacts: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The global `--data`, if it was typed: neither its default nor the environment's data directory
/// is a place for a demo.
#[derive(Debug)]
struct GivenData(Option<PathBuf>);

impl FromArgMatches for GivenData {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let typed = matches.value_source("data") == Some(ValueSource::CommandLine);
        let data = matches.get_one::<PathBuf>("data").filter(|_| typed);
        Ok(Self(data.cloned()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for GivenData {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let contacts = usize::try_from(args.contacts).unwrap_or(usize::MAX);
    let report = demo::play(args.data.0, contacts).await?;
    if args.json {
        return output::json(&report);
    }
    output::block(&report.text());
    Ok(())
}
