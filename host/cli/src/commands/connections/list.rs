//! `tidegate connections list`: an integration's connections by name, filtered, in pages.

use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::{ConnectionName, Name};
use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::{parse_tags, shown_health, shown_secrets, shown_tags};
use crate::commands::Global;
use crate::output;

/// Arguments of `connections list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    integration: Name,
    /// Only connections with this tag; several must all fit
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Only connections with this external id
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Only connections whose names begin so
    #[arg(long, value_name = "PREFIX")]
    name_prefix: Option<String>,
    /// Only connections whose credentials are not accepted, by their API or its token endpoint
    #[arg(long)]
    auth_failed: bool,
    /// Only connections of which anything fails
    #[arg(long)]
    unhealthy: bool,
    /// Only connections whose names come after this one: the last of the page before
    #[arg(long, value_name = "CONNECTION")]
    after: Option<ConnectionName>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let filter = ConnectionFilter {
        tags: parse_tags(&args.tag)?,
        external_id: args.external_id,
        name_prefix: args.name_prefix,
        auth_failed: args.auth_failed,
        unhealthy: args.unhealthy,
    };
    let limit = usize::from(args.limit);
    let control = global.open().await?;
    // One more tells whether there are more.
    let listed = control
        .connections(&args.integration, &filter, args.after, limit + 1)
        .await;
    control.close().await?;
    let mut connections = listed?;
    let more = connections.len() > limit;
    connections.truncate(limit);
    if args.json {
        return connections
            .iter()
            .try_for_each(|connection| output::json(&views::Connection::from(connection)));
    }
    let last = connections.last().map(|last| last.key.connection.clone());
    let rows = connections.iter().map(|connection| {
        vec![
            connection.key.connection.to_string(),
            connection.base_url.to_string(),
            connection.external_id.clone().unwrap_or_default(),
            shown_tags(connection),
            shown_secrets(connection),
            shown_health(connection),
            display::time(connection.created_at),
        ]
    });
    output::block(&output::table(
        &[
            "connection",
            "base URL",
            "external id",
            "tags",
            "secrets",
            "health",
            "created",
        ],
        &[],
        rows,
    ));
    if let (true, Some(last)) = (more, last) {
        output::notice(format!("there are more: add --after {last}"));
    }
    Ok(())
}
