//! `tidegate connections show`: one connection and its models.

use serde_json::Value;
use tidegate_http::views;
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::{ConnectionArg, shown_secrets, shown_tags};
use crate::commands::Global;
use crate::output::{self, Block};

/// Arguments of `connections show`.
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
    let control = global.open().await?;
    let connection = control.connection(&key).await?;
    let models = control.models(&key).await?;
    control.close().await?;
    if args.json {
        return output::json(&views::ConnectionWithModels {
            connection: (&connection).into(),
            models: models.into_iter().map(Into::into).collect(),
        });
    }
    let or_none = |text: String| match text.is_empty() {
        true => "none".to_owned(),
        false => text,
    };
    let external_id = connection.external_id.clone().unwrap_or_default();
    let changed = format!(
        "{}, {}",
        display::time(connection.updated_at),
        display::counted(connection.revision, "time")
    );
    let parts = [
        ("connection", key.to_string()),
        ("base URL", connection.base_url.to_string()),
        ("external id", or_none(external_id)),
        ("tags", or_none(shown_tags(&connection))),
        ("secrets", or_none(shown_secrets(&connection))),
        (
            "config",
            Value::Object(connection.config.clone()).to_string(),
        ),
        (
            "metadata",
            Value::Object(connection.metadata.clone()).to_string(),
        ),
        ("created", display::time(connection.created_at)),
        ("changed", changed),
    ];
    let mut block = Block::new();
    for (name, value) in parts {
        block.line(format!("{name:12} {value}"));
    }
    for (word, failure) in [
        ("auth-failed", connection.auth_failure()),
        ("config-failed", connection.config_failure()),
    ] {
        if let Some((at, message)) = failure {
            block.quote(&format!("{word}  {}: ", display::time(at)), &message);
        }
    }
    for (target, failing) in connection.health.failing() {
        let since = display::time(failing.since);
        let class = failing.class.as_str();
        let held = match failing.hold {
            Some(_) => ", held: schedules fire nothing for it",
            None => "",
        };
        let label = format!("failing      {target} since {since}, {class}{held}: ");
        block.quote(&label, &failing.message);
    }
    output::block(&block);
    let rows = models.into_iter().map(|(name, stats)| {
        vec![
            name.to_string(),
            display::count(stats.live),
            display::count(stats.deleted),
            output::bytes(stats.live_bytes),
        ]
    });
    let right = ["live", "deleted", "size"];
    output::block(&output::table(
        &["model", "live", "deleted", "size"],
        &right,
        rows,
    ));
    Ok(())
}
