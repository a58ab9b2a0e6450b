//! `tidegate connections add`: one connection.

use tidegate_engine::command;
use tidegate_engine::grant::{GrantFlag, HostPattern};
use tidegate_service::control::NewConnection;
use tidegate_service::problem::Result;
use url::Url;

use super::{ConnectionArg, note_short, parse_config, parse_secrets, parse_tags};
use crate::commands::Global;
use crate::output;

/// Arguments of `connections add`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: ConnectionArg,
    /// Where the account's API is
    #[arg(long, value_name = "URL")]
    base_url: Url,
    /// Config: KEY=VALUE (VALUE is JSON, or else text) or @FILE (a JSON object)
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    config: Vec<String>,
    /// Metadata that the application keeps here, in the same forms
    #[arg(long, value_name = "KEY=VALUE|@FILE")]
    metadata: Vec<String>,
    /// A tag, by which connections are listed
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
    /// What the application calls the account
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// A credential: KEY=env:VARIABLE, KEY=file:PATH, or KEY=- for a prompt or stdin
    #[arg(long, value_name = "KEY=SOURCE")]
    secret: Vec<String>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let key = args.which.key();
    let connection = NewConnection {
        key: key.clone(),
        base_url: args.base_url,
        config: parse_config(&args.config)?,
        metadata: parse_config(&args.metadata)?,
        tags: parse_tags(&args.tag)?,
        external_id: args.external_id,
        secrets: parse_secrets(&args.secret)?,
    };
    note_short(&connection.secrets);
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
        // All hosts, as those that are given replace those that were.
        let hosts = integration.current.grants.hosts.iter().cloned();
        let hosts = hosts.chain([pattern.clone()]).map(GrantFlag::Host);
        let deploy = command!("deploy FILE --as {integration}", key.integration);
        output::notice(format!(
            "note: {} may not send requests to {pattern} yet; deploy it again with: {}",
            key.integration,
            hosts.fold(deploy, |command, host| command.with(host))
        ));
    }
    Ok(())
}
