//! Deliveries: what became of them, doing them again, and a test.

use clap::ValueEnum;
use ipnet::IpNet;
use tidegate_engine::Timestamp;
use tidegate_engine::store::DeliveryFilter;
use tidegate_engine::webhook::{Delivery, EndpointId};
use tidegate_http::views;
use tidegate_service::control::{Control, ReplayRequest};
use tidegate_service::display;
use tidegate_service::problem::{Kind, Problem, Result};

use super::outcome;
use crate::commands::{Access, Global};
use crate::output::{self, Block};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Pending,
    Delivered,
    Exhausted,
}

/// Arguments of `webhooks deliveries`.
#[derive(Debug, clap::Args)]
pub(super) struct Deliveries {
    endpoint: EndpointId,
    #[arg(long)]
    state: Option<State>,
    /// Only of events before this number
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print one JSON object a line, with every attempt that is kept
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(global: &Global, args: &Deliveries) -> Result<()> {
    let control = global.open_existing().await?;
    let filter = DeliveryFilter {
        endpoint: args.endpoint,
        state: args
            .state
            .map(|state| match state {
                State::Pending => "pending",
                State::Delivered => "delivered",
                State::Exhausted => "exhausted",
            })
            .map(Into::into),
        before: args.before,
        limit: usize::from(args.limit),
    };
    let deliveries = control.deliveries(filter).await?;
    control.close().await?;
    if args.json {
        return deliveries
            .iter()
            .try_for_each(|one| output::json(&views::Delivery::from(one)));
    }
    let row = |delivery: &Delivery| {
        let about = delivery.stream.as_ref().map(ToString::to_string);
        vec![
            delivery.seq.to_string(),
            delivery.event.to_string(),
            delivery.kind.to_string(),
            about.unwrap_or_default(),
            delivery.state.as_str().to_owned(),
            delivery.made.to_string(),
            delivery.attempts.last().map(outcome).unwrap_or_default(),
            delivery
                .state
                .next_at()
                .map(display::time)
                .unwrap_or_default(),
        ]
    };
    let heading = [
        "seq", "event", "type", "about", "state", "attempts", "last", "next",
    ];
    let right = ["seq", "attempts"];
    output::block(&output::table(&heading, &right, deliveries.iter().map(row)));
    Ok(())
}

/// Arguments of `webhooks replay`.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    endpoint: EndpointId,
    /// Events since then: 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Timestamp,
    /// Also what was delivered, and what the endpoint never got; else only what is exhausted or waits for
    /// another attempt
    #[arg(long)]
    all: bool,
    /// Go on after this event, where an earlier replay stopped
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn parse_time(text: &str) -> std::result::Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| format!("{error}; write it as 2026-11-22T08:00:00Z"))?;
    let ms = u64::try_from(time.as_millisecond()).map_err(|_| "that was before 1970".to_owned())?;
    Ok(Timestamp(ms))
}

pub(super) async fn replay(global: &Global, args: &Replay) -> Result<()> {
    let control = global.open_existing().await?;
    let request = ReplayRequest {
        endpoint: args.endpoint,
        since: args.since,
        all: args.all,
        after: args.after,
    };
    let done = control.replay_deliveries(request).await?;
    control.close().await?;
    if args.json {
        return output::json(&views::Replayed::from(done));
    }
    output::line(format!(
        "{} will be made again",
        match done.deliveries {
            1 => "1 delivery".to_owned(),
            n => format!("{} deliveries", display::count(n)),
        }
    ));
    if let Some(after) = done.more_after {
        output::notice(format!(
            "note: there may be more; go on with --after {after}"
        ));
    }
    Ok(())
}

/// Arguments of `webhooks test`.
#[derive(Debug, clap::Args)]
pub(super) struct Test {
    endpoint: EndpointId,
    /// A private range that webhooks may go to, as of serve; a server that runs has its own
    #[arg(
        long,
        value_name = "CIDR",
        env = "TIDEGATE_WEBHOOK_ALLOW_PRIVATE",
        value_delimiter = ','
    )]
    webhook_allow_private: Vec<IpNet>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn test(global: &Global, args: Test) -> Result<()> {
    let control: Box<dyn Control> = match global.reach_existing().await? {
        Access::Here(mut local) => {
            local.allow_webhooks_to(args.webhook_allow_private);
            local
        }
        // A server was told where it may send when it was started.
        Access::Server(remote) => Box::new(remote),
    };
    let attempt = control.test_endpoint(args.endpoint).await?;
    control.close().await?;
    if args.json {
        output::json(&views::Attempt::from(&attempt))?;
    } else {
        output::line(outcome(&attempt));
        if !attempt.response.is_empty() {
            let mut block = Block::new();
            block.quote("its answer: ", &attempt.response);
            output::block(&block);
        }
    }
    if attempt.succeeded() {
        return Ok(());
    }
    let message = "the endpoint has not taken it: only a 2xx status counts";
    Err(Problem::new(Kind::Upstream, message))
}
