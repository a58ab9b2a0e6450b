//! `tidegate connections`: customers' accounts at an integration.

mod add;
mod import;
mod list;
mod remove;
mod rows;
mod show;
mod test;
mod update;

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Map, Value};
use tidegate_engine::ConnectionKey;
use tidegate_engine::ConnectionName;
use tidegate_engine::Name;
use tidegate_engine::integration::Connection;
use tidegate_engine::redact::SECRET_BYTES_MIN;
use tidegate_service::problem::{Problem, Result};
use tidegate_service::secrets::SecretMap;

use super::Global;
use crate::output;
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
    Add(add::Args),
    /// Add many connections from a file of JSON lines or CSV, once every row is found good
    Import(import::Args),
    /// List an integration's connections
    List(list::Args),
    /// Show one connection, without its secrets
    Show(show::Args),
    /// Change a connection; what is not named stays
    Update(update::Args),
    /// Let the plugin check a connection's credentials with a cheap request
    Test(test::Args),
    /// Stop a connection's runs and remove it with all that it has
    Remove(remove::Args),
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Add(args) => add::run(global, args).await,
        Command::Import(args) => import::run(global, args).await,
        Command::List(args) => list::run(global, args).await,
        Command::Show(args) => show::run(global, args).await,
        Command::Update(args) => update::run(global, args).await,
        Command::Test(args) => test::run(global, args).await,
        Command::Remove(args) => remove::run(global, args).await,
    }
}

/// Which connection.
#[derive(Debug, clap::Args)]
struct ConnectionArg {
    integration: Name,
    connection: ConnectionName,
}

impl ConnectionArg {
    fn key(self) -> ConnectionKey {
        ConnectionKey {
            integration: self.integration,
            connection: self.connection,
        }
    }
}

/// `plan=pro, region=eu`
fn shown_tags(connection: &Connection) -> String {
    let tags = connection.tags.iter();
    let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={value}")).collect();
    tags.join(", ")
}

/// The names of its secrets.
fn shown_secrets(connection: &Connection) -> String {
    connection.secret_names.join(", ")
}

/// What of it works, in a word or two.
fn shown_health(connection: &Connection) -> String {
    let auth = connection.auth_failure().map(|_| "auth-failed");
    let config = connection.config_failure().map(|_| "config-failed");
    let words: Vec<&str> = auth.into_iter().chain(config).collect();
    match connection.is_healthy() {
        true => "well".to_owned(),
        false if words.is_empty() => "failing".to_owned(),
        false => words.join(", "),
    }
}

/// Secrets from `KEY=SOURCE` flags.
fn parse_secrets(flags: &[String]) -> Result<SecretMap> {
    let mut secrets = SecretMap::new();
    for flag in flags {
        let (name, secret) = secrets::parse_flag(flag)?;
        if secrets.insert(name.clone(), secret).is_some() {
            return Err(Problem::invalid(format!("secret {name} is given twice")));
        }
    }
    Ok(secrets)
}

/// Say which of them are too short to be taken out of what the API repeats.
fn note_short(secrets: &SecretMap) {
    let is_short = |secret: &tidegate_egress::Secret| secret.expose().len() < SECRET_BYTES_MIN;
    for (name, _) in secrets.iter().filter(|(_, secret)| is_short(secret)) {
        output::notice(format!(
            "note: the secret {name} has fewer than {SECRET_BYTES_MIN} bytes, so it can't be told from other texts: where the \
             API repeats it, it is not taken out"
        ));
    }
}

/// Tags from `KEY=VALUE` flags.
fn parse_tags(flags: &[String]) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for flag in flags {
        let (key, value) = flag
            .split_once('=')
            .ok_or_else(|| Problem::invalid(format!("the tag {flag:?}: write KEY=VALUE")))?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Problem::invalid(format!("the tag {key} is given twice")));
        }
    }
    Ok(tags)
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
    use serde_json::json;

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
