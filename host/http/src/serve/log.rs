//! The server's log, on stdout: a line for each request, each run, and each thing worth knowing.

use std::fmt;
use std::io::IsTerminal;

use tidegate_service::problem::{Problem, Result};
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// Begin to log, and to trace if there is a layer for it; `level` is a level, or a filter such as
/// `info,tidegate_service=debug`.
pub fn start<T>(format: Format, level: &str, traces: Option<T>) -> Result<()>
where
    T: Layer<Registry> + Send + Sync,
{
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Problem::invalid(format!("--log-level {level:?}: {error}"))
            .hint("write error, warn, info, debug or trace")
    })?;
    let log = match format {
        Format::Human => human().with_filter(filter).boxed(),
        Format::Json => json().with_filter(filter).boxed(),
    };
    let both = tracing_subscriber::registry().with(traces).with(log);
    both.try_init().map_err(Problem::internal)
}

fn human<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stdout().is_terminal())
        .with_target(false)
        .fmt_fields(Fields)
}

fn json<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
}

/// Writes fields for people: all but those that only traces need.
struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            separator: "",
            written: Ok(()),
        };
        fields.record(&mut line);
        line.written
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    separator: &'static str,
    written: fmt::Result,
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name().starts_with("otel.") {
            return;
        }
        let separator = self.separator;
        self.written = self.written.and_then(|()| match field.name() {
            "message" => write!(self.writer, "{separator}{value:?}"),
            name => write!(self.writer, "{separator}{name}={value:?}"),
        });
        self.separator = " ";
    }
}
