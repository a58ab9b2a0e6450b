//! `tidegate inspect`: say what a component is, what it does and what it asks for.

use std::path::PathBuf;

use tidegate_service::problem::Result;

use crate::author::component::Component;
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let component = Component::inspect(&args.file).await?;
    if args.json {
        return output::json(&component.listing());
    }
    output::block(&component.text());
    Ok(())
}
