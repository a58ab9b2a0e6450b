//! `tidegate serve`: the HTTP API, until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_engine::board::ConcurrencyLimits;
use tidegate_engine::limits::RUNS_HELD_BYTES;

use super::Global;
use super::deploy::{parse_limit, parse_range};
use super::span::parse_span;
use tidegate_http::serve::Traces;
use tidegate_http::serve::{self, Format, Options, start_log};
use tidegate_http::v1::Bounds;
use tidegate_service::control::check_opens;
use tidegate_service::dispatch;
use tidegate_service::problem::Result;

/// What all runs together may hold, at least (one small answer for each) and at most.
const RUNS_HELD_MIN: u64 = 1 << 20;
const RUNS_HELD_MAX: u64 = 1 << 40;

/// The least that ended runs are kept: two days. A run must not go before the idempotency key that
/// names it.
const KEEP_MIN: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen; anything but loopback needs an API key
    #[arg(
        long,
        env = "TIDEGATE_LISTEN",
        default_value = "127.0.0.1:7411",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// Speak TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// and its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// How long requests and runs may go on after the first signal
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_span)]
    grace: Duration,
    /// A name that the server answers to besides its addresses and localhost; can be given several times. Unless it
    /// listens on loopback it answers to all names if none is given
    #[arg(
        long,
        value_name = "NAME",
        env = "TIDEGATE_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_parser = parse_host
    )]
    allowed_host: Vec<String>,
    /// Set a limit of the API: api_stall_ms and others (docs/limits.md)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_limit)]
    limit: Vec<(String, u64)>,
    /// Jobs that run at the same time, in all
    #[arg(long, default_value_t = ConcurrencyLimits::default().total, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    jobs: u32,
    /// The same for each integration
    #[arg(long, default_value_t = ConcurrencyLimits::default().per_integration, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    jobs_per_integration: u32,
    /// The same for each connection
    #[arg(long, default_value_t = ConcurrencyLimits::default().per_connection, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    jobs_per_connection: u32,
    /// What all runs together may hold of calls that have not ended, answers of HTTP included, in bytes
    #[arg(
        long,
        env = "TIDEGATE_RUNS_HELD_BYTES",
        default_value_t = RUNS_HELD_BYTES,
        value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(RUNS_HELD_MIN..=RUNS_HELD_MAX)
    )]
    runs_held_bytes: u64,
    /// How long ended runs with their logs, jobs and fires are kept; two days at least
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_keep)]
    keep_runs: Duration,
    /// A private range that webhooks may go to, in clear too; can be given several times
    #[arg(
        long,
        value_name = "CIDR",
        env = "TIDEGATE_WEBHOOK_ALLOW_PRIVATE",
        value_delimiter = ',',
        value_parser = parse_opens
    )]
    webhook_allow_private: Vec<IpNet>,
    /// What the log's lines look like
    #[arg(long, value_enum, default_value_t = Format::Human, env = "TIDEGATE_LOG")]
    log: Format,
    /// What is logged: error, warn, info, debug or trace
    #[arg(
        long,
        default_value = "info",
        value_name = "LEVEL",
        env = "TIDEGATE_LOG_LEVEL"
    )]
    log_level: String,
    /// Send traces of requests and runs to this OTLP collector, which speaks HTTP
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Take no components through the API: whose signatures count, only `tidegate deploy` knows
    #[arg(long, env = "TIDEGATE_REQUIRE_SIGNATURE")]
    require_signature: bool,
}

/// A name as a URL has it, in lower case, without a port.
fn parse_host(text: &str) -> std::result::Result<String, String> {
    match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) => Ok(name.trim_end_matches('.').to_owned()),
        Ok(_) => Err("addresses are answered anyway".to_owned()),
        Err(error) => Err(format!("{error}: write a name, without a port")),
    }
}

fn parse_opens(text: &str) -> std::result::Result<IpNet, String> {
    let range = parse_range(text)?;
    check_opens(&range)?;
    Ok(range)
}

fn parse_keep(text: &str) -> std::result::Result<Duration, String> {
    let keep = parse_span(text)?;
    match keep < KEEP_MIN {
        true => Err("two days (2d) are the least: idempotency keys name runs for one".to_owned()),
        false => Ok(keep),
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let mut bounds = Bounds::default();
    for (name, value) in &args.limit {
        bounds.set(name, *value)?;
    }
    let traces = match args.otlp_endpoint.as_deref() {
        // An empty variable is as good as none, by OpenTelemetry's specification.
        None | Some("") => None,
        Some(endpoint) => Some(Traces::start(endpoint)?),
    };
    let layer = traces.as_ref().map(Traces::layer);
    start_log(args.log, &args.log_level, layer)?;
    let options = Options {
        listen: args.listen,
        tls: args.tls_cert.zip(args.tls_key),
        grace: args.grace,
        bounds,
        allowed_hosts: args.allowed_host,
        signatures_only: args.require_signature,
        dispatch: dispatch::Options {
            caps: ConcurrencyLimits {
                total: args.jobs,
                per_integration: args.jobs_per_integration,
                per_connection: args.jobs_per_connection,
            },
            keep_runs: args.keep_runs,
        },
        webhook_private: args.webhook_allow_private,
        runs_held: args.runs_held_bytes,
    };
    let served = serve::run(&global.data, options).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    served
}
