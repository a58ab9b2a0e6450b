//! `tidegate data stats`: how large the data is, and how much of it is dead.

use tidegate_engine::upkeep::ModelSize;
use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::Result;

use crate::commands::Global;
use crate::output;

/// Arguments of `data stats`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open_existing().await?;
    let stats = control.stats().await?;
    control.close().await?;
    if args.json {
        return output::json(&views::StoreStats::from(&stats));
    }
    let total = &stats.total;
    let components = format!(
        "{}, {}",
        display::count(stats.components),
        output::bytes(stats.component_bytes)
    );
    let records = format!(
        "{} live, {} deleted, {} of them without a body",
        display::count(total.stats.live),
        display::count(total.stats.deleted),
        display::count(total.stats.pruned)
    );
    let segments = format!(
        "{}, {}, {} of their entries live",
        display::count(total.segments),
        output::bytes(total.segment_bytes),
        live_share(total)
    );
    for (name, value) in [
        ("disk", output::bytes(stats.disk_bytes)),
        ("components", components),
        ("integrations", display::count(stats.integrations)),
        ("connections", display::count(stats.connections)),
        ("runs", display::count(stats.runs)),
        ("models", display::count(stats.models)),
        ("records", records),
        ("segments", segments),
    ] {
        output::line(format!("{name:13} {value}"));
    }
    if stats.largest.is_empty() {
        return Ok(());
    }
    let rows = stats.largest.iter().map(|(model, size)| {
        vec![
            model.connection.integration.to_string(),
            model.connection.connection.to_string(),
            model.model.to_string(),
            display::count(size.stats.live),
            display::count(size.stats.deleted),
            display::count(size.stats.pruned),
            output::bytes(size.stats.live_bytes),
            output::bytes(size.segment_bytes),
            display::count(size.segments),
            live_share(size),
        ]
    });
    let heading = [
        "integration",
        "connection",
        "model",
        "live",
        "deleted",
        "pruned",
        "bodies",
        "stored",
        "segments",
        "live share",
    ];
    let (_, right) = heading.split_at(3);
    output::block(&output::table(&heading, right, rows));
    Ok(())
}

/// Percent of the entries in segments that are the latest of their records; the rest goes when
/// segments are rewritten.
fn live_share(size: &ModelSize) -> String {
    match size.entries {
        0 => "-".to_owned(),
        entries => format!("{} %", records(size) * 100 / entries),
    }
}

fn records(size: &ModelSize) -> u64 {
    size.stats.live + size.stats.deleted
}
