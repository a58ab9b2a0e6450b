//! `tidegate data prune`: the bodies of records that nothing has changed for long go.

use std::time::Duration;

use serde_json::json;
use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::upkeep::Pruned;
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name};
use tidegate_service::control::Control;
use tidegate_service::display;
use tidegate_service::problem::Result;

use crate::commands::Global;
use crate::commands::span::parse_span;
use crate::output;

/// Connections listed at once.
const NAMES: usize = 100;

/// Arguments of `data prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    /// Only this model
    model: Option<Name>,
    /// Only this connection
    #[arg(long, short)]
    connection: Option<ConnectionName>,
    /// How long a record must have been as it is: 30d, 12h, 8 weeks
    #[arg(long, value_name = "AGE", value_parser = parse_span)]
    older_than: Duration,
    /// Print one JSON object for each model
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open_existing().await?;
    let mut sum = Pruned::default();
    for model in models(&*control, &args).await? {
        let pruned = control.prune(&model, args.older_than).await?;
        sum.records += pruned.records;
        sum.bytes += pruned.bytes;
        if args.json {
            output::json(&json!({
                "integration": model.connection.integration,
                "connection": model.connection.connection,
                "model": model.model,
                "records": pruned.records,
                "bytes": pruned.bytes,
            }))?;
        } else if pruned.records > 0 {
            output::line(format!("{model}: {}", describe(pruned)));
        }
    }
    control.close().await?;
    if !args.json {
        output::line(format!("pruned {}", describe(sum)));
    }
    Ok(())
}

fn describe(pruned: Pruned) -> String {
    format!(
        "{}, {} of bodies",
        display::counted(pruned.records, "record"),
        output::bytes(pruned.bytes)
    )
}

/// The models that are meant. One that is named must be one that the integration has.
async fn models(control: &dyn Control, args: &Args) -> Result<Vec<ModelKey>> {
    let mut models = Vec::new();
    for key in connections(control, args).await? {
        match &args.model {
            Some(model) => models.push(key.model(model.clone())),
            None => {
                let own = control.models(&key).await?;
                models.extend(own.into_iter().map(|(model, _)| key.model(model)));
            }
        }
    }
    Ok(models)
}

async fn connections(control: &dyn Control, args: &Args) -> Result<Vec<ConnectionKey>> {
    let integration = &args.integration;
    if let Some(connection) = &args.connection {
        return Ok(vec![ConnectionKey {
            integration: integration.clone(),
            connection: connection.clone(),
        }]);
    }
    let filter = ConnectionFilter::default();
    let mut keys: Vec<ConnectionKey> = Vec::new();
    loop {
        let after = keys.last().map(|key| key.connection.clone());
        let page = control
            .connections(integration, &filter, after, NAMES)
            .await?;
        let last = page.len() < NAMES;
        keys.extend(page.into_iter().map(|connection| connection.key));
        if last {
            return Ok(keys);
        }
    }
}
