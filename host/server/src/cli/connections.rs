//! `tidegate connections`: customers' accounts at an integration.

use clap::Subcommand;
use serde_json::{Map, Value, json};
use tidegate_engine::grant::HostPattern;
use tidegate_engine::integration::Connection;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use url::Url;

use super::Global;
use crate::control::{Control, NewConnection};
use crate::output;
use crate::problem::{Problem, Result};
use crate::secrets;

/// Arguments of `connections`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a connection
    Add(Add),
    /// List an integration's connections
    List(List),
    /// Show one connection, without its secrets
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Add {
    integration: Name,
    connection: ConnectionName,
    /// Where the account's API is
    #[arg(long, value_name = "URL")]
    base_url: Url,
    /// Config: KEY=VALUE (VALUE is JSON, or else text) or @FILE (a JSON object)
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    config: Vec<String>,
    /// Metadata that the application keeps here, in the same forms
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    metadata: Vec<String>,
    /// A credential: KEY=env:VARIABLE, KEY=file:PATH, or KEY=- for a prompt or stdin
    #[arg(long, value_name = "KEY=SOURCE")]
    secret: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct List {
    integration: Name,
    /// Only connections whose names come after this one
    #[arg(long, value_name = "CONNECTION")]
    after: Option<ConnectionName>,
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    integration: Name,
    connection: ConnectionName,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Add(args) => add(global, args).await,
        Command::List(args) => list(global, args).await,
        Command::Show(args) => show(global, args).await,
    }
}

async fn add(global: &Global, args: Add) -> Result<()> {
    let mut secrets = secrets::SecretMap::new();
    for flag in &args.secret {
        let (name, secret) = secrets::parse_flag(flag)?;
        if secrets.insert(name.clone(), secret).is_some() {
            return Err(Problem::invalid(format!("secret {name} is given twice")));
        }
    }
    let key = ConnectionKey {
        integration: args.integration,
        connection: args.connection,
    };
    let connection = NewConnection {
        key: key.clone(),
        base_url: args.base_url,
        config: parse_config(&args.config)?,
        metadata: parse_config(&args.metadata)?,
        secrets,
    };
    let base_url = connection.base_url.clone();
    let control = global.open().await?;
    control.add_connection(connection).await?;
    let integration = control.integration(&key.integration).await?;
    control.close().await?;
    output::line(format!("added connection {key}"));
    let granted = integration
        .current
        .grants
        .hosts
        .iter()
        .any(|pattern| pattern.matches(&base_url));
    if let (false, Some(pattern)) = (granted, HostPattern::of_origin(&base_url)) {
        output::notice(format!(
            "note: {} may not send requests to {pattern} yet; deploy it with --allow-host '{pattern}'",
            key.integration
        ));
    }
    Ok(())
}

async fn list(global: &Global, args: List) -> Result<()> {
    let control = global.open().await?;
    let connections = control
        .connections(
            &args.integration,
            args.after.as_ref(),
            usize::from(args.limit),
        )
        .await?;
    control.close().await?;
    if args.json {
        return connections
            .iter()
            .try_for_each(|connection| output::json(&shown(connection)));
    }
    let rows = connections.iter().map(|connection| {
        vec![
            connection.key.connection.to_string(),
            connection.base_url.to_string(),
            connection.secret_names.join(", "),
            output::time(connection.created_at),
        ]
    });
    output::line(output::table(
        &["connection", "base URL", "secrets", "created"],
        &[],
        rows,
    ));
    Ok(())
}

async fn show(global: &Global, args: Show) -> Result<()> {
    let key = ConnectionKey {
        integration: args.integration,
        connection: args.connection,
    };
    let control = global.open().await?;
    let connection = control.connection(&key).await?;
    let models = control.models(&key).await?;
    control.close().await?;
    if args.json {
        let models = models.iter().map(|(name, stats)| {
            json!({"model": name, "live": stats.live, "deleted": stats.deleted, "live_bytes": stats.live_bytes})
        });
        let mut object = shown(&connection);
        if let Some(object) = object.as_object_mut() {
            object.insert("models".to_owned(), models.collect());
        }
        return output::json(&object);
    }
    output::line(format!(
        "connection  {key}\nbase URL    {}\nsecrets     {}\nconfig      {}\nmetadata    {}\ncreated     {}",
        connection.base_url,
        if connection.secret_names.is_empty() {
            "none".to_owned()
        } else {
            connection.secret_names.join(", ")
        },
        Value::Object(connection.config),
        Value::Object(connection.metadata),
        output::time(connection.created_at),
    ));
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

/// A connection as JSON, without its secrets.
fn shown(connection: &Connection) -> Value {
    json!({
        "integration": connection.key.integration,
        "connection": connection.key.connection,
        "base_url": connection.base_url,
        "config": connection.config,
        "metadata": connection.metadata,
        "secrets": connection.secret_names,
        "created_at": output::time(connection.created_at),
        "updated_at": output::time(connection.updated_at),
    })
}

/// An object from `KEY=VALUE` and `@FILE` flags; later ones win. A dot in KEY is part of the key.
pub(super) fn parse_config(flags: &[String]) -> Result<Map<String, Value>> {
    let mut config = Map::new();
    for flag in flags {
        if let Some(path) = flag.strip_prefix('@') {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Problem::not_found(format!("{path}: {error}")))?;
            let object: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
                Problem::invalid(format!("{path} is not a JSON object: {error}"))
            })?;
            config.extend(object);
            continue;
        }
        let (key, value) = flag
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| {
                Problem::invalid(format!(
                    "{flag:?}: write KEY=VALUE, or @FILE for a JSON object"
                ))
            })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        config.insert(key.to_owned(), value);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_text() {
        let flags = [
            "a=1",
            "b=text",
            "c={\"d\":[true]}",
            "e=\"1\"",
            "f=x=y",
            "g=",
        ];
        let config = parse_config(&flags.map(str::to_owned)).unwrap();
        let want = json!({"a": 1, "b": "text", "c": {"d": [true]}, "e": "1", "f": "x=y", "g": ""});
        assert_eq!(Value::Object(config), want);
        for bad in ["novalue", "=1", "@/no/such/file"] {
            assert!(parse_config(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
