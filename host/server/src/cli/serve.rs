//! `tidegate serve`: the HTTP API, until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Global;
use super::deploy::parse_limit;
use super::span::parse_span;
use crate::api::Bounds;
use crate::problem::Result;
use crate::serve::{self, Format, Options, start_log};

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
    /// Set a limit: api_header_ms, api_request_ms, api_stall_ms, api_connections (docs/limits.md)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_limit)]
    limit: Vec<(String, u64)>,
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
    /// Take no components through the API: whose signatures count, only `tidegate deploy` knows
    #[arg(long, env = "TIDEGATE_REQUIRE_SIGNATURE")]
    require_signature: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<()> {
    let mut bounds = Bounds::default();
    for (name, value) in &args.limit {
        bounds.set(name, *value)?;
    }
    start_log(args.log, &args.log_level)?;
    let options = Options {
        listen: args.listen,
        tls: args.tls_cert.zip(args.tls_key),
        grace: args.grace,
        bounds,
        signatures_only: args.require_signature,
    };
    serve::run(&global.data, options).await
}
