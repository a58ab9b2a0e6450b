//! `tidegate data compact`: what was put off is done now, and disk space given back.

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
    let control = global.open_existing().await?;
    let before = control.stats().await?;
    control.settle().await?;
    let after = control.stats().await?;
    control.close().await?;
    if args.json {
        return output::json(&json!({
            "disk_bytes_before": before.disk_bytes,
            "disk_bytes_after": after.disk_bytes,
            "segment_bytes_before": before.total.segment_bytes,
            "segment_bytes_after": after.total.segment_bytes,
        }));
    }
    output::line(format!(
        "disk      {} before, {} after\nsegments  {} before, {} after",
        output::bytes(before.disk_bytes),
        output::bytes(after.disk_bytes),
        output::bytes(before.total.segment_bytes),
        output::bytes(after.total.segment_bytes),
    ));
    Ok(())
}
