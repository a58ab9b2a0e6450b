//! `tidegate connections show`: one connection and its models.

use serde_json::Value;

use super::{Which, shown_secrets, shown_tags};
use crate::cli::Global;
use crate::output;
use crate::problem::Result;
use crate::shown;

/// Arguments of `connections show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
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
        return output::json(&shown::ConnectionWithModels {
            connection: (&connection).into(),
            models: models.into_iter().map(Into::into).collect(),
        });
    }
    let or_none = |text: String| match text.is_empty() {
        true => "none".to_owned(),
        false => text,
    };
    output::line(format!(
        "connection   {key}\nbase URL     {}\nexternal id  {}\ntags         {}\nsecrets      {}\nconfig       {}\n\
         metadata     {}\ncreated      {}\nchanged      {}, {}",
        connection.base_url,
        or_none(connection.external_id.clone().unwrap_or_default()),
        or_none(shown_tags(&connection)),
        or_none(shown_secrets(&connection)),
        Value::Object(connection.config.clone()),
        Value::Object(connection.metadata.clone()),
        output::time(connection.created_at),
        output::time(connection.updated_at),
        output::counted(connection.revision, "time"),
    ));
    for (word, failure) in [
        ("auth-failed", connection.auth_failure()),
        ("config-failed", connection.config_failure()),
    ] {
        if let Some((at, message)) = failure {
            output::line(format!("{word}  {}: {message}", output::time(at)));
        }
    }
    for (target, failing) in connection.health.failing() {
        output::line(format!(
            "failing      {target} since {}, {}{}: {}",
            output::time(failing.since),
            failing.class.as_str(),
            match failing.hold {
                Some(_) => ", held: schedules fire nothing for it",
                None => "",
            },
            failing.message
        ));
    }
    let rows = models.into_iter().map(|(name, stats)| {
        vec![
            name.to_string(),
            output::count(stats.live),
            output::count(stats.deleted),
            output::bytes(stats.live_bytes),
        ]
    });
    let right = ["live", "deleted", "size"];
    output::line(output::table(
        &["model", "live", "deleted", "size"],
        &right,
        rows,
    ));
    Ok(())
}
