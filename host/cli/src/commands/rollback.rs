//! `tidegate rollback`: an integration as an earlier deployment had it.

use serde_json::json;
use tidegate_engine::Name;
use tidegate_http::views;
use tidegate_service::control::unsigned;
use tidegate_service::problem::Result;

use super::Global;
use crate::output;

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    /// The deployment's number, as `tidegate integrations --json` had it; the one before without it
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
    /// Go back to nothing that was not deployed with a signature
    #[arg(long, env = "TIDEGATE_REQUIRE_SIGNATURE")]
    require_signature: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open_existing().await?;
    let before = control.integration(&args.integration).await?;
    let target = match args.to {
        None => before.earlier.first(),
        Some(number) => before
            .earlier
            .iter()
            .find(|earlier| earlier.number == number),
    };
    if let (true, Some(target)) = (args.require_signature, target)
        && control.signature(target.digest).await?.is_none()
    {
        control.close().await?;
        return Err(unsigned(target.digest));
    }
    let integration = control.rollback(&args.integration, args.to).await?;
    control.close().await?;
    if args.json {
        let mut object = json!(views::Integration::from(&integration));
        if let Some(object) = object.as_object_mut() {
            let version = before.current.manifest.version.to_string();
            object.insert("previous_version".to_owned(), version.into());
        }
        return output::json(&object);
    }
    output::line(format!(
        "rolled {} back from version {} to {}, as deployment {}; its connections, checkpoints and records stay",
        integration.name,
        before.current.manifest.version,
        integration.current.manifest.version,
        integration.current.number,
    ));
    Ok(())
}
