//! Lines of a run's log.

use serde::Serialize;
use tidegate_engine::run;
use utoipa::ToSchema;

use super::text::{self, Time};
use super::word::words;

words! {
    /// How bad a log line is.
    pub(crate) enum LogLevel of run::Level {
        Debug = "debug",
        Info = "info",
        Warn = "warn",
        Error = "error",
    }
}

words! {
    /// Where a log line comes from.
    pub(crate) enum LogSource of run::LogSource {
        /// The plugin's own log calls.
        Plugin = "plugin",
        Stdout = "stdout",
        Stderr = "stderr",
        /// Tidegate, about this run.
        Host = "host",
    }
}

/// A line of a run's log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// Its place in the run's log, from 0; gaps are dropped lines.
    index: u64,
    at: Time,
    level: LogLevel,
    source: LogSource,
    message: String,
    /// What was logged beside the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<text::JsonObject>)]
    fields: Option<serde_json::Value>,
}

impl From<&run::LogLine> for LogLine {
    fn from(line: &run::LogLine) -> Self {
        Self {
            index: line.index,
            at: Time(line.at),
            level: line.level.into(),
            source: line.source.into(),
            message: line.message.clone(),
            fields: line.fields.clone(),
        }
    }
}
