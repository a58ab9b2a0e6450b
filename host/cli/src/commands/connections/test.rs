//! `tidegate connections test`: the plugin's check of a connection, and what is wrong in plain words.

use tidegate_http::views;
use tidegate_service::problem::Result;

use super::ConnectionArg;
use crate::commands::Global;
use crate::output;

/// Arguments of `connections test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: ConnectionArg,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let key = args.which.key();
    let control = global.open_existing().await?;
    let run = control.check_connection(&key).await?;
    let log = control.logs(run.id, 0, views::Check::LOG_LINES).await?;
    let integration = control.integration(&key.integration).await?;
    control.close().await?;
    let plugin = integration.current.manifest.name.as_str();
    let (check, problem) = views::Check::of(&run, &log, plugin);
    if args.json {
        output::json(&check)?;
    } else {
        for warning in check.warnings() {
            output::line(format!("warning: {warning}"));
        }
    }
    match problem {
        Some(problem) => Err(problem),
        None if args.json => Ok(()),
        None => {
            output::line(format!(
                "connection {key} works: the check of {plugin} passed"
            ));
            Ok(())
        }
    }
}
