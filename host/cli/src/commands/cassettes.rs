//! `tidegate cassettes`: the rings that keep connections' last runs as cassettes.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use tidegate_engine::command;
use tidegate_engine::run::RunId;
use tidegate_engine::{ConnectionKey, ConnectionName, Name};
use tidegate_service::cassettes::{self, Keep, RING_BYTES_MAX, RING_RUNS_MAX, Ring};
use tidegate_service::problem::{Kind, Problem, Result};

use super::Global;
use crate::output;

/// Arguments of `cassettes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a connection's runs from now on, and keep the last ones
    On(OnArgs),
    /// Record a connection's runs no more
    Off(OffArgs),
    /// List the cassettes that are kept, oldest first
    List(List),
    /// Copy a run's cassette to a file
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct OnArgs {
    integration: Name,
    connection: ConnectionName,
    /// How many runs to keep, within 256 MiB
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(RING_RUNS_MAX)))]
    runs: u32,
}

#[derive(Debug, clap::Args)]
struct OffArgs {
    integration: Name,
    connection: ConnectionName,
    /// Remove what was recorded too
    #[arg(long)]
    delete: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    integration: Option<Name>,
    connection: Option<ConnectionName>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    run: RunId,
    /// Where to; a file that is there is left alone
    file: PathBuf,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::On(args) => on(global, args).await,
        Command::Off(args) => off(global, &args),
        Command::List(args) => list(global, &args),
        Command::Export(args) => export(global, &args),
    }
}

async fn on(global: &Global, args: OnArgs) -> Result<()> {
    let key = ConnectionKey {
        integration: args.integration,
        connection: args.connection,
    };
    let control = global.open().await?;
    // A ring of a connection that is not there would only be a typo.
    let found = control.connection(&key).await;
    control.close().await?;
    found?;
    Ring::of(&global.data, &key).switch_on(Keep { runs: args.runs })?;
    output::line(format!(
        "{key}: its last {} runs are kept as cassettes, within {}; they hold what its API answers",
        args.runs,
        output::bytes(RING_BYTES_MAX)
    ));
    Ok(())
}

fn off(global: &Global, args: &OffArgs) -> Result<()> {
    let key = ConnectionKey {
        integration: args.integration.clone(),
        connection: args.connection.clone(),
    };
    let ring = Ring::of(&global.data, &key);
    let was_on = ring.switch_off()?;
    let mut text = if was_on {
        format!("{key}: its runs are not recorded any more")
    } else {
        format!("{key}: its runs were not recorded")
    };
    if args.delete {
        text += &format!("; {} cassettes removed", ring.clear()?);
    }
    output::line(text);
    Ok(())
}

fn list(global: &Global, args: &List) -> Result<()> {
    let kept = cassettes::list(
        &global.data,
        args.integration.as_ref().map(Name::as_str),
        args.connection.as_ref().map(ConnectionName::as_str),
    )?;
    if args.json {
        for cassette in &kept {
            output::json(&json!({
                "run": cassette.run,
                "integration": cassette.key.integration,
                "connection": cassette.key.connection,
                "bytes": cassette.bytes,
                "file": cassette.path.display().to_string(),
            }))?;
        }
        return Ok(());
    }
    if kept.is_empty() {
        output::notice(format!(
            "no cassettes; record runs with: {}",
            command!("cassettes on INTEGRATION CONNECTION")
        ));
        return Ok(());
    }
    let rows = kept.iter().map(|cassette| {
        vec![
            cassette.run.to_string(),
            cassette.key.integration.to_string(),
            cassette.key.connection.to_string(),
            output::bytes(cassette.bytes),
        ]
    });
    let heading = ["run", "integration", "connection", "size"];
    output::block(&output::table(&heading, &["size"], rows));
    Ok(())
}

fn export(global: &Global, args: &Export) -> Result<()> {
    let kept = cassettes::find(&global.data, args.run)?;
    let at = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Problem::new(
            Kind::Conflict,
            format!("{} exists already", args.file.display()),
        ),
        _ => Problem::internal(error).at(args.file.display()),
    };
    let mut from = std::fs::File::open(&kept).map_err(at)?;
    let mut to = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        // It has what an API answered.
        .mode(0o600)
        .open(&args.file)
        .map_err(at)?;
    std::io::copy(&mut from, &mut to).map_err(at)?;
    output::line(format!("{} is in {}", args.run, args.file.display()));
    Ok(())
}
