//! `tidegate api-keys`: the keys that open the HTTP API.

use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use tidegate_engine::api_key::{ApiKey, ApiKeyId, KeyScope};
use tidegate_engine::grant::RateLimit;
use tidegate_http::views;
use tidegate_service::control::NewApiKey;
use tidegate_service::display;
use tidegate_service::problem::{Problem, Result};

use super::Global;
use super::span::parse_span;
use crate::output;

/// Arguments of `api-keys`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, once
    Create(Create),
    /// List the keys, without themselves
    List(List),
    /// Refuse a key from now on
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What it is for, for people
    #[arg(long)]
    name: String,
    /// What it may do: read, trigger, or manage, which implies the others
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE")]
    scope: Vec<KeyScope>,
    /// When it expires: 90d, 12h; never without it
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    expires_in: Option<Duration>,
    /// How fast it may ask, instead of 50 a second: '100/60s', '10/1s burst 5'
    #[arg(long, value_name = "REQUESTS/TIME")]
    rate_limit: Option<RateLimit>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// Its id, as the list has it
    id: ApiKeyId,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Create(args) => create(global, args).await,
        Command::List(args) => list(global, &args).await,
        Command::Revoke(args) => revoke(global, &args).await,
    }
}

async fn create(global: &Global, args: Create) -> Result<()> {
    let new = NewApiKey {
        name: args.name,
        scopes: args.scope.into_iter().collect(),
        expires_in: args.expires_in,
        rate_limit: args.rate_limit,
    };
    let control = global.open().await?;
    let made = control.create_api_key(new).await?;
    control.close().await?;
    if args.json {
        let mut object =
            serde_json::to_value(views::ApiKey::from(&made.key)).map_err(Problem::internal)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("api_key".to_owned(), json!(*made.text));
        }
        return output::json(&object);
    }
    output::line(&*made.text);
    output::notice(format!(
        "note: this is the API key {} ({}); keep it now, nobody can show it again",
        made.key.name, made.key.id
    ));
    Ok(())
}

async fn list(global: &Global, args: &List) -> Result<()> {
    let control = global.open_existing().await?;
    let keys = control.api_keys().await?;
    control.close().await?;
    if args.json {
        return keys
            .iter()
            .try_for_each(|key| output::json(&views::ApiKey::from(key)));
    }
    let rows = keys.iter().map(row);
    let heading = ["id", "name", "scopes", "created", "expires", "last used"];
    output::block(&output::table(&heading, &[], rows));
    Ok(())
}

fn row(key: &ApiKey) -> Vec<String> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let or_never = |at: Option<_>| at.map_or_else(|| "never".to_owned(), display::time);
    vec![
        key.id.to_string(),
        key.name.clone(),
        scopes.join(" "),
        display::time(key.created_at),
        or_never(key.expires_at),
        or_never(key.last_used_at),
    ]
}

async fn revoke(global: &Global, args: &Revoke) -> Result<()> {
    let control = global.open_existing().await?;
    control.revoke_api_key(args.id).await?;
    control.close().await?;
    output::line(format!("revoked {}", args.id));
    Ok(())
}
