//! `tidegate data check`: what is wrong in the data directory, by name.

use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};

use crate::commands::Global;
use crate::output;

/// Arguments of `data check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open_existing().await?;
    let report = control.check().await?;
    control.close().await?;
    if args.json {
        output::json(&views::CheckReport::from(report.clone()))?;
    } else {
        for finding in &report.findings {
            output::line(format!("{}: {}", finding.place, finding.what));
        }
        for note in &report.notes {
            output::line(format!("note: {note}"));
        }
        let looked_at = format!(
            "{}, {} of {}, {}, {}",
            display::counted(report.keys, "key"),
            display::counted(report.records, "record"),
            display::counted(report.models, "model"),
            display::counted(report.runs, "run"),
            display::counted(report.components, "component"),
        );
        if report.wrong == 0 {
            output::line(format!("nothing is wrong: {looked_at}"));
        } else {
            output::line(format!("looked at {looked_at}"));
        }
    }
    if report.wrong == 0 {
        return Ok(());
    }
    let unlisted = report.wrong.saturating_sub(report.findings.len() as u64);
    let found = display::counted(report.wrong, "finding");
    let message = match unlisted {
        0 => format!("the data directory is damaged: {found}"),
        _ => format!(
            "the data directory is damaged: {found}, of which {} are not listed",
            display::count(unlisted)
        ),
    };
    Err(Problem::new(Kind::DataDirectory, message).hint(
        "keep a copy of the directory; what is damaged is never served, a backup or an export made before \
         brings it back, and what is at its source comes back by dropping the model and syncing again",
    ))
}
