//! The server's log, on stderr: a line for each request and each thing worth knowing.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::problem::{Problem, Result};

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// Begin to log; `level` is a level, or a filter such as `info,tidegate_server=debug`.
pub(crate) fn start(format: Format, level: &str) -> Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Problem::invalid(format!("--log-level {level:?}: {error}"))
            .hint("write error, warn, info, debug or trace")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Human => builder.with_target(false).finish().try_init(),
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .finish()
            .try_init(),
    }
    .map_err(Problem::internal)
}
