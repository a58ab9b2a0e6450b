//! `tidegate build`: compile a plugin's crate to a component and check it.

use std::path::PathBuf;

use tidegate_service::problem::Result;

use crate::author::compile::Echo;
use crate::author::component::Component;
use crate::author::package::Package;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The crate's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let package = Package::find(&args.path).await?;
    package.prepare().await?;
    let file = package.compile(Echo::Stderr).await?;
    let component = Component::inspect(&file).await?;
    if args.json {
        return output::json(&component.listing());
    }
    let mut block = component.text();
    block.line("");
    block.line("Next:");
    block.line(format!("  {}", component.deploy_command()));
    output::block(&block);
    Ok(())
}
