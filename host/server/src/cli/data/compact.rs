//! `tidegate data compact`: what was put off is done now, and disk space given back.
//!
//! Rewriting the database needs it closed, so this is the one command that no running server does.

use serde_json::json;

use crate::cli::Global;
use crate::control::Control;
use crate::output;
use crate::problem::Result;

/// Arguments of `data compact`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let local = global.open_existing().await?;
    let before = local.stats().await?;
    local.settle().await?;
    let after = local.stats().await?;
    let disk_after = local.rewrite().await?.after;
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
