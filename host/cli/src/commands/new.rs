//! `tidegate new`: write a new plugin crate.

use std::path::PathBuf;
use tidegate_engine::command;
use tidegate_engine::command_line::quoted;

use tidegate_service::problem::{Problem, Result};

use crate::author::{program, scaffold, sdk};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The crate's name, and the plugin's
    name: String,
    /// Where to write it, instead of a new folder of that name
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The SDK that it is to use, instead of this tidegate's own
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    scaffold::check_name(&args.name)?;
    let folder = args.path.unwrap_or_else(|| PathBuf::from(&args.name));
    let folder =
        std::path::absolute(&folder).map_err(|e| Problem::invalid(e).at(folder.display()))?;
    let sdk = match args.sdk {
        Some(path) => sdk::given(&path)?,
        None => sdk::sdk_path()?,
    };
    let written = scaffold::write(&args.name, &folder, &sdk)?;
    output::line(format!(
        "Wrote the plugin {} with the SDK at {}:",
        args.name,
        sdk.display()
    ));
    for file in written {
        output::line(format!("  {}", program::path(&folder.join(file))));
    }
    output::line("");
    output::line("Next:");
    output::line(format!("  cd {}", quoted(&program::path(&folder))));
    output::line("  cargo test");
    output::line(format!(
        "  {}",
        command!("build").of_program(program::anywhere())
    ));
    Ok(())
}
