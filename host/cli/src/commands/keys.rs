//! `tidegate keys`: the master key that credentials are sealed under.

use clap::Subcommand;
use tidegate_engine::command;
use tidegate_http::views;
use tidegate_service::control::{KeyRole, RotateKeys};
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};
use tidegate_service::secrets::{VARIABLE, VARIABLE_NEXT};

use super::Global;
use crate::output;
use crate::secrets::read_source;

/// Arguments of `keys`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say how many connections are sealed under which master key
    Status(Status),
    /// Put a new master key in the old one's place; when interrupted, the same command goes on
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// Take the new key (32 bytes in base64) from env:VARIABLE, file:PATH, or - for a prompt or stdin,
    /// instead of making one
    #[arg(long, value_name = "SOURCE")]
    to: Option<String>,
    /// Leave credentials that can't be opened as they are, instead of refusing
    #[arg(long)]
    skip_unreadable: bool,
    /// Connections re-wrapped in one step
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    step: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Status(args) => status(global, &args).await,
        Command::Rotate(args) => rotate(global, args).await,
    }
}

async fn status(global: &Global, args: &Status) -> Result<()> {
    let control = global.open_existing().await?;
    let status = control.keys_status().await?;
    control.close().await?;
    if args.json {
        output::json(&views::KeysStatus::from(&status))?;
    } else {
        let rows = status.keys.iter().map(|key| {
            vec![
                key.key.clone().unwrap_or_else(|| "(not said)".to_owned()),
                key.role.as_str().to_owned(),
                key.place.clone().unwrap_or_default(),
                display::count(key.connections),
                display::count(key.endpoints),
            ]
        });
        let heading = ["key", "role", "place", "connections", "endpoints"];
        let right = ["connections", "endpoints"];
        output::block(&output::table(&heading, &right, rows));
        output::line(format!(
            "{} without credentials",
            display::counted(status.without_credentials, "connection")
        ));
    }
    if status.keys.iter().any(|key| key.role == KeyRole::Next) {
        output::notice(format!(
            "a rotation is not finished; finish it with: {}",
            command!("keys rotate")
        ));
    }
    let endpoints = status.unreadable_endpoints.len() as u64;
    if status.unreadable_count + endpoints == 0 {
        return Ok(());
    }
    let connections = status.unreadable.iter().map(|(_, why)| why.as_str());
    let of_endpoints = status
        .unreadable_endpoints
        .iter()
        .map(|(_, why)| why.as_str());
    let named = connections.chain(of_endpoints);
    let with_endpoints = match endpoints {
        0 => String::new(),
        some => format!(" and {}", display::counted(some, "endpoint")),
    };
    let message = format!(
        "{}{with_endpoints} can't be opened:\n  {}",
        display::counted(status.unreadable_count, "connection"),
        named.collect::<Vec<_>>().join("\n  ")
    );
    Err(Problem::new(Kind::Secrets, message))
}

async fn rotate(global: &Global, args: Rotate) -> Result<()> {
    let to = args.to.as_deref();
    let request = RotateKeys {
        to: to.map(|source| read_source("--to", source)).transpose()?,
        skip_unreadable: args.skip_unreadable,
        step: usize::from(args.step),
    };
    let control = global.open_existing().await?;
    let rotated = control.rotate_keys(request).await?;
    control.close().await?;
    if args.json {
        output::json(&views::Rotated::from(&rotated))?;
    } else {
        output::line(format!(
            "rotated the master key {} to {}: re-wrapped {}",
            rotated.from,
            rotated.to,
            match rotated.endpoints {
                0 => display::counted(rotated.connections, "connection"),
                endpoints => format!(
                    "{} and {}",
                    display::counted(rotated.connections, "connection"),
                    display::counted(endpoints, "endpoint")
                ),
            }
        ));
    }
    for key in &rotated.skipped {
        output::notice(format!("warning: connection {key} was left as it was"));
    }
    for id in &rotated.skipped_endpoints {
        output::notice(format!("warning: endpoint {id} was left as it was"));
    }
    if rotated.environment {
        output::notice(format!(
            "note: set {VARIABLE} to the new key from now on, and unset {VARIABLE_NEXT}"
        ));
    } else {
        output::notice(
            "note: the old key opens nothing any more but old backups; back up the new one",
        );
    }
    Ok(())
}
