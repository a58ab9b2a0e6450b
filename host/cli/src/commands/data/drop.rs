//! `tidegate data drop`: a model, a connection or an integration goes, with all that it has.

use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::upkeep::{Dropped, Scope};
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::control::Control;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};

use super::Part;
use crate::commands::{Global, confirmed};
use crate::output;

/// Connections listed at once.
const NAMES: usize = 100;

/// Arguments of `data drop`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    /// Only this model, of --connection; its syncs' checkpoints stay
    model: Option<Name>,
    /// Only this connection
    #[arg(long, short)]
    connection: Option<ConnectionName>,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let scope = match Part::of(args.integration, args.connection, args.model)? {
        Part::Integration(name) => Scope::Integration(name),
        Part::Connection(key) => Scope::Connection(key),
        Part::Model(key) => Scope::Model(key),
    };
    let control = global.open_existing().await?;
    if !args.yes {
        let goes = describe(would_go(&*control, &scope).await?);
        output::notice(format!("{scope} would go: {goes}"));
        if !confirmed("drop it?", "nothing was dropped")? {
            control.close().await?;
            return Err(Problem::invalid("nothing was dropped"));
        }
    }
    let dropped = control.drop_scope(&scope).await?;
    control.close().await?;
    if args.json {
        return output::json(&dropped);
    }
    output::line(format!("dropped {scope}: {}", describe(dropped)));
    if let Scope::Model(key) = &scope {
        output::notice(format!(
            "note: checkpoints stay, so its syncs go on from there; to pull everything again, run them with --reset \
             ({})",
            key.connection
        ));
    }
    Ok(())
}

pub(in crate::commands) fn describe(dropped: Dropped) -> String {
    let Dropped {
        connections,
        models,
        records,
        runs,
    } = dropped;
    [
        display::counted(connections, "connection"),
        display::counted(models, "model"),
        display::counted(records, "record"),
        display::counted(runs, "run"),
    ]
    .join(", ")
}

/// What dropping would remove; its runs are not counted.
pub(in crate::commands) async fn would_go(control: &dyn Control, scope: &Scope) -> Result<Dropped> {
    let mut goes = Dropped::default();
    match scope {
        Scope::Integration(name) => {
            control.integration(name).await?;
            let filter = ConnectionFilter::default();
            let mut after: Option<ConnectionName> = None;
            loop {
                let page = control.connections(name, &filter, after, NAMES).await?;
                for connection in &page {
                    count(control, &connection.key, None, &mut goes).await?;
                }
                if page.len() < NAMES {
                    break;
                }
                after = page.last().map(|last| last.key.connection.clone());
            }
        }
        Scope::Connection(key) => count(control, key, None, &mut goes).await?,
        Scope::Model(key) => {
            count(control, &key.connection, Some(&key.model), &mut goes).await?;
            goes.connections = 0;
        }
    }
    Ok(goes)
}

async fn count(
    control: &dyn Control,
    key: &ConnectionKey,
    only: Option<&Name>,
    goes: &mut Dropped,
) -> Result<()> {
    goes.connections += 1;
    for (model, stats) in control.models(key).await? {
        if only.is_none_or(|only| *only == model) {
            goes.models += 1;
            goes.records += stats.live + stats.deleted;
        }
    }
    Ok(())
}
