//! Endpoints: add, list, show, change, remove, and new secrets.

use tidegate_engine::webhook::{Endpoint, EndpointId, EventType};
use tidegate_engine::{ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::control::{EndpointFilter, EndpointSecret, EndpointUpdate, NewEndpoint};
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};
use url::Url;

use super::{about, events, state};
use crate::commands::{Global, confirmed};
use crate::output;

/// Which events.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Only events of this type; can be given several times. Without it, all types
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<EventType>,
    /// Only what happens to this integration
    #[arg(long, short)]
    integration: Option<Name>,
    /// Only what happens to this connection, of --integration
    #[arg(long, short, requires = "integration")]
    connection: Option<ConnectionName>,
}

impl Filter {
    fn parsed(self) -> EndpointFilter {
        EndpointFilter {
            events: self.events.into_iter().collect(),
            integration: self.integration,
            connection: self.connection,
        }
    }
}

/// Arguments of `webhooks add`.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// Where to deliver; plain http only in private ranges that the server was allowed
    url: Url,
    #[command(flatten)]
    filter: Filter,
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn add(global: &Global, args: Add) -> Result<()> {
    let control = global.open().await?;
    let new = NewEndpoint {
        url: args.url,
        description: args.description,
        filter: args.filter.parsed(),
    };
    let added = control.add_endpoint(new).await?;
    control.close().await?;
    print_secret(&added, args.json)
}

/// The one time that a secret is shown.
fn print_secret(made: &EndpointSecret, as_json: bool) -> Result<()> {
    if as_json {
        return output::json(&views::EndpointWithSecret::from(made));
    }
    output::line(format!(
        "endpoint {}: {}",
        made.endpoint.id, made.endpoint.url
    ));
    output::line(format!("secret {}", made.secret));
    output::notice("note: the secret is not shown again; receivers check signatures with it");
    Ok(())
}

/// Arguments of `webhooks list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(global: &Global, args: &List) -> Result<()> {
    let control = global.open_existing().await?;
    let endpoints = control.endpoints().await?;
    control.close().await?;
    if args.json {
        return endpoints
            .iter()
            .try_for_each(|endpoint| output::json(&views::Endpoint::from(endpoint)));
    }
    let row = |endpoint: &Endpoint| {
        vec![
            endpoint.id.to_string(),
            endpoint.url.to_string(),
            events(endpoint),
            about(endpoint),
            state(endpoint),
        ]
    };
    let heading = ["endpoint", "url", "events", "only", "state"];
    output::block(&output::table(&heading, &[], endpoints.iter().map(row)));
    Ok(())
}

/// Arguments of `webhooks show`.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    endpoint: EndpointId,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn show(global: &Global, args: &Show) -> Result<()> {
    let control = global.open_existing().await?;
    let endpoint = control.endpoint(args.endpoint).await?;
    control.close().await?;
    print(&endpoint, args.json)
}

fn print(endpoint: &Endpoint, as_json: bool) -> Result<()> {
    if as_json {
        return output::json(&views::Endpoint::from(endpoint));
    }
    let lines = [
        ("endpoint", endpoint.id.to_string()),
        ("url", endpoint.url.to_string()),
        ("description", endpoint.description.clone()),
        ("events", events(endpoint)),
        ("only", about(endpoint)),
        ("state", state(endpoint)),
        ("secrets", endpoint.secrets.len().to_string()),
        ("created", display::time(endpoint.created_at)),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        output::line(format!("{name:<12} {value}"));
    }
    Ok(())
}

/// Arguments of `webhooks update`.
#[derive(Debug, clap::Args)]
pub(super) struct Update {
    endpoint: EndpointId,
    #[arg(long)]
    url: Option<Url>,
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Every event of every connection again
    #[arg(long, conflicts_with_all = ["events", "integration"])]
    all_events: bool,
    /// Deliver again, beginning with what waits
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Deliver nothing; what waits stays
    #[arg(long)]
    disable: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn update(global: &Global, args: Update) -> Result<()> {
    let control = global.open_existing().await?;
    let filter = args.filter.parsed();
    let names_filter = !filter.events.is_empty() || filter.integration.is_some();
    // All of the filter anew, or none of it.
    let changes = names_filter || args.all_events;
    let update = EndpointUpdate {
        url: args.url,
        description: args.description,
        events: changes.then_some(filter.events),
        integration: changes.then_some(filter.integration),
        connection: changes.then_some(filter.connection),
        enabled: (args.enable || args.disable).then_some(args.enable),
    };
    let endpoint = control.update_endpoint(args.endpoint, update).await?;
    control.close().await?;
    print(&endpoint, args.json)
}

/// Arguments of `webhooks remove`.
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    endpoint: EndpointId,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn remove(global: &Global, args: &Remove) -> Result<()> {
    let control = global.open_existing().await?;
    let endpoint = control.endpoint(args.endpoint).await?;
    if !args.yes {
        output::notice(format!(
            "endpoint {} would go: {}",
            endpoint.id, endpoint.url
        ));
        if !confirmed("remove it?", "nothing was removed")? {
            control.close().await?;
            return Err(Problem::invalid("nothing was removed"));
        }
    }
    control.remove_endpoint(args.endpoint).await?;
    control.close().await?;
    output::line(format!("removed endpoint {}", endpoint.id));
    Ok(())
}

/// Arguments of `webhooks rotate-secret`.
#[derive(Debug, clap::Args)]
pub(super) struct RotateSecret {
    endpoint: EndpointId,
    /// The old secrets sign no more, as when one has leaked
    #[arg(long)]
    now: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn rotate_secret(global: &Global, args: &RotateSecret) -> Result<()> {
    let control = global.open_existing().await?;
    let made = control
        .rotate_endpoint_secret(args.endpoint, args.now)
        .await?;
    control.close().await?;
    print_secret(&made, args.json)
}
