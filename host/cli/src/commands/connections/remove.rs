//! `tidegate connections remove`: stops a connection's runs and removes all that it has.

use tidegate_engine::upkeep::Scope;
use tidegate_service::problem::{Problem, Result};

use super::ConnectionArg;
use crate::commands::data::drop::{describe, would_go};
use crate::commands::{Global, confirmed};
use crate::output;

/// Arguments of `connections remove`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: ConnectionArg,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let key = args.which.key();
    let control = global.open_existing().await?;
    control.connection(&key).await?;
    if !args.yes {
        let goes = describe(would_go(&*control, &Scope::Connection(key.clone())).await?);
        output::notice(format!("connection {key} would go: {goes}"));
        if !confirmed("remove it?", "nothing was removed")? {
            control.close().await?;
            return Err(Problem::invalid("nothing was removed"));
        }
    }
    let dropped = control.remove_connection(&key).await?;
    control.close().await?;
    if args.json {
        return output::json(&dropped);
    }
    output::line(format!("removed connection {key}: {}", describe(dropped)));
    Ok(())
}
