//! `tidegate webhooks`: the URLs that hear of what happens.

mod deliveries;
mod endpoints;

use clap::Subcommand;
use tidegate_engine::webhook::{Attempt, Endpoint};
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;

/// Arguments of `webhooks`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an endpoint, and print its signing secret this once
    Add(endpoints::Add),
    /// List the endpoints
    List(endpoints::List),
    /// Show one endpoint, without its secrets
    Show(endpoints::Show),
    /// Change an endpoint; what is not named stays
    Update(endpoints::Update),
    /// Remove an endpoint with its deliveries
    Remove(endpoints::Remove),
    /// Make a new signing secret; the old one signs beside it for a day
    RotateSecret(endpoints::RotateSecret),
    /// List what was delivered to an endpoint, and what was not; newest event first
    Deliveries(deliveries::Deliveries),
    /// Deliver again what an endpoint has not taken; a running server does it
    Replay(deliveries::Replay),
    /// Send a test event to an endpoint at once
    Test(deliveries::Test),
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    match args.command {
        Command::Add(args) => endpoints::add(global, args).await,
        Command::List(args) => endpoints::list(global, &args).await,
        Command::Show(args) => endpoints::show(global, &args).await,
        Command::Update(args) => endpoints::update(global, args).await,
        Command::Remove(args) => endpoints::remove(global, &args).await,
        Command::RotateSecret(args) => endpoints::rotate_secret(global, &args).await,
        Command::Deliveries(args) => deliveries::list(global, &args).await,
        Command::Replay(args) => deliveries::replay(global, &args).await,
        Command::Test(args) => deliveries::test(global, args).await,
    }
}

/// `enabled`, or since when and why not.
fn state(endpoint: &Endpoint) -> String {
    match (endpoint.disabled, endpoint.first_failure_at) {
        (Some(disabled), _) => {
            format!(
                "disabled ({}) since {}",
                disabled.why.as_str(),
                display::time(disabled.at)
            )
        }
        (None, Some(first)) => format!("failing since {}", display::time(first)),
        (None, None) => "enabled".to_owned(),
    }
}

/// `run.finished, run.failed` or `all`.
fn events(endpoint: &Endpoint) -> String {
    if endpoint.events.is_empty() {
        return "all".to_owned();
    }
    let names: Vec<&str> = endpoint.events.iter().map(|kind| kind.as_str()).collect();
    names.join(", ")
}

/// What it is only about, or nothing.
fn about(endpoint: &Endpoint) -> String {
    let names = [
        endpoint.integration.as_ref().map(ToString::to_string),
        endpoint.connection.as_ref().map(ToString::to_string),
    ];
    names.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// `204 in 12 ms`, or why there was no answer.
fn outcome(attempt: &Attempt) -> String {
    let took = display::duration(attempt.latency_ms);
    match (attempt.status, &attempt.no_answer) {
        (Some(status), _) => format!("{status} in {took}"),
        (None, Some(none)) => none.message.clone(),
        (None, None) => String::new(),
    }
}
