//! `tidegate connections update`: changes parts of a connection in one step.

use std::io::IsTerminal;

use tidegate_engine::ConnectionKey;
use tidegate_http::views;
use tidegate_service::control::{ConnectionUpdate, Control, ObjectChange};
use tidegate_service::problem::{Problem, Result};
use url::Url;

use super::{ConnectionArg, note_short, parse_config, parse_secrets, parse_tags};
use crate::commands::{Global, confirmed};
use crate::output;

/// Arguments of `connections update`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: ConnectionArg,
    #[command(flatten)]
    parts: Parts,
    /// Send the secrets that are there to the base URL, though they were given for another origin
    #[arg(long)]
    keep_secrets: bool,
    /// Print the connection as one JSON object
    #[arg(long)]
    json: bool,
}

/// What to change; at least one.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Parts {
    /// Where the account's API is; with another origin its secrets must be given anew, or --keep-secrets
    #[arg(long, value_name = "URL")]
    base_url: Option<Url>,
    /// Merge into the config (RFC 7396: null removes)
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    config: Vec<String>,
    /// Replace the config
    #[arg(long, value_name = "KEY=VALUE|@FILE", conflicts_with = "config")]
    config_set: Vec<String>,
    /// Merge into the metadata (RFC 7396: null removes)
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    metadata: Vec<String>,
    /// Replace the metadata
    #[arg(long, value_name = "KEY=VALUE|@FILE", conflicts_with = "metadata")]
    metadata_set: Vec<String>,
    /// Add a tag, or give it another value
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// Take a tag away
    #[arg(long, value_name = "KEY")]
    untag: Vec<String>,
    /// What the application calls the account
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Take the external id away
    #[arg(long, conflicts_with = "external_id")]
    no_external_id: bool,
    /// Add or replace a credential: KEY=env:VARIABLE, KEY=file:PATH, or KEY=- for a prompt or stdin
    #[arg(long, value_name = "KEY=SOURCE")]
    secret: Vec<String>,
    /// Take a credential away
    #[arg(long, value_name = "KEY")]
    remove_secret: Vec<String>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let key = args.which.key();
    let parts = args.parts;
    let object = |merge: &[String], set: &[String]| match set.is_empty() {
        true => parse_config(merge).map(ObjectChange::Merge),
        false => parse_config(set).map(ObjectChange::Set),
    };
    let mut update = ConnectionUpdate {
        base_url: parts.base_url,
        config: object(&parts.config, &parts.config_set)?,
        metadata: object(&parts.metadata, &parts.metadata_set)?,
        tags: parse_tags(&parts.tag)?,
        untag: parts.untag.into_iter().collect(),
        external_id: match parts.no_external_id {
            true => Some(None),
            false => parts.external_id.map(Some),
        },
        secrets: parse_secrets(&parts.secret)?,
        remove_secrets: parts.remove_secret.into_iter().collect(),
        keep_secrets: args.keep_secrets,
        missing_is_fine: false,
    };
    if let Some(tag) = update
        .untag
        .iter()
        .find(|tag| update.tags.contains_key(*tag))
    {
        let message = format!("the tag {tag}: --tag and --untag at once");
        return Err(Problem::invalid(message));
    }
    let mut gone = update.remove_secrets.iter();
    if let Some(secret) = gone.find(|name| update.secrets.contains_key(*name)) {
        let message = format!("the secret {secret}: --secret and --remove-secret at once");
        return Err(Problem::invalid(message));
    }
    note_short(&update.secrets);
    let control = global.open_existing().await?;
    if std::io::stdin().is_terminal() {
        ask(&*control, &key, &mut update).await?;
    }
    let connection = control.update_connection(&key, update).await?;
    control.close().await?;
    if args.json {
        return output::json(&views::Connection::from(&connection));
    }
    output::line(format!("changed connection {key}"));
    Ok(())
}

/// Ask whether secrets that stay may be sent to a base URL of another origin. Where nobody can be asked, the
/// update is refused and says what to add.
async fn ask(
    control: &dyn Control,
    key: &ConnectionKey,
    update: &mut ConnectionUpdate,
) -> Result<()> {
    let Some(url) = update.base_url.as_ref().filter(|_| !update.keep_secrets) else {
        return Ok(());
    };
    let connection = control.connection(key).await?;
    let (origin, now) = (url.origin().ascii_serialization(), connection.origin());
    let stays = |name: &&String| {
        !update.secrets.contains_key(*name) && !update.remove_secrets.contains(*name)
    };
    let stay: Vec<&str> = connection
        .secret_names
        .iter()
        .filter(stays)
        .map(String::as_str)
        .collect();
    if origin == now || stay.is_empty() {
        return Ok(());
    }
    output::notice(format!(
        "the secrets {} were given for {now}, and would be sent to {origin}",
        stay.join(", ")
    ));
    match confirmed("may they go there?", "nothing was changed")? {
        true => update.keep_secrets = true,
        false => return Err(Problem::invalid("nothing was changed")),
    }
    Ok(())
}
