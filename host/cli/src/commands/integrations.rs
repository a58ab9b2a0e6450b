//! `tidegate integrations`: what is deployed, and with which grants.

use tidegate_engine::integration::Integration;
use tidegate_http::views;
use tidegate_service::control::Control;
use tidegate_service::display;
use tidegate_service::problem::Result;

use super::Global;
use crate::output;

/// Integrations asked for at once.
const PAGE: usize = 100;

/// Arguments of `integrations`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let control = global.open().await?;
    let listed = all(&*control).await;
    control.close().await?;
    let integrations = listed?;
    if args.json {
        return integrations
            .iter()
            .try_for_each(|integration| output::json(&views::Integration::from(integration)));
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
            display::time(current.deployed_at),
        ]
    });
    output::block(&output::table(
        &["integration", "plugin", "digest", "hosts", "deployed"],
        &[],
        rows,
    ));
    Ok(())
}

/// All of them, page by page.
async fn all(control: &dyn Control) -> Result<Vec<Integration>> {
    let mut all: Vec<Integration> = Vec::new();
    loop {
        let after = all.last().map(|last| last.name.clone());
        let page = control.integrations(after, PAGE).await?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}
