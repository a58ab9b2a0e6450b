//! `tidegate data compact`: what was put off is done now, and disk space given back.
//!
//! Rewriting the database needs it closed, so a server that runs does only the first half.

use serde_json::json;
use tidegate_service::control::Control;
use tidegate_service::problem::Result;

use crate::commands::{Access, Global};
use crate::output;

/// Arguments of `data compact`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let reached = global.reach_existing().await?;
    let control: &dyn Control = match &reached {
        Access::Here(local) => &**local,
        Access::Server(remote) => remote,
    };
    let before = control.stats().await?;
    control.settle().await?;
    let after = control.stats().await?;
    let disk_after = match reached {
        Access::Here(local) => local.rewrite().await?.after,
        Access::Server(_) => {
            output::notice("a server runs: the database is written anew only without one");
            after.disk_bytes
        }
    };
    if args.json {
        return output::json(&json!({
            "disk_bytes_before": before.disk_bytes,
            "disk_bytes_after": disk_after,
            "segment_bytes_before": before.total.segment_bytes,
            "segment_bytes_after": after.total.segment_bytes,
        }));
    }
    output::line(format!(
        "disk      {} before, {} after\nsegments  {} before, {} after",
        output::bytes(before.disk_bytes),
        output::bytes(disk_after),
        output::bytes(before.total.segment_bytes),
        output::bytes(after.total.segment_bytes),
    ));
    Ok(())
}
