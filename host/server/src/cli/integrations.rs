//! `tidegate integrations`: what is deployed, and with which grants.

use super::Global;
use crate::output;
use crate::problem::Result;
use crate::shown;

/// Arguments of `integrations`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open().await?;
    let integrations = control.integrations().await?;
    control.close().await?;
    if args.json {
        return integrations
            .iter()
            .try_for_each(|integration| output::json(&shown::Integration::from(integration)));
    }
    let rows = integrations.iter().map(|integration| {
        let current = &integration.current;
        let hosts = current
            .grants
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        vec![
            integration.name.to_string(),
            format!("{} {}", current.manifest.name, current.manifest.version),
            current.digest.short(),
            hosts.join(" "),
            output::time(current.deployed_at),
        ]
    });
    output::line(output::table(
        &["integration", "plugin", "digest", "hosts", "deployed"],
        &[],
        rows,
    ));
    Ok(())
}
