//! A line of an answer.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_engine::run::{Figures, LogLine, RunId};
use tidegate_service::control::wire_secrets;
use tidegate_service::problem::{Problem, Result};

/// The last one is `Done` or `Problem`; without it the answer was cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    Started(RunId),
    Log(LogLine),
    Figures(Figures),
    /// A part of an export.
    Part(#[serde(with = "wire_secrets::bytes")] Vec<u8>),
    /// So many records of an import were read.
    Read(u64),
    Done(Box<RawValue>),
    Problem(Problem),
}

impl Frame {
    /// The last one.
    pub(super) fn end<T: Serialize>(result: Result<T>) -> Self {
        let done = result
            .and_then(|value| serde_json::value::to_raw_value(&value).map_err(Problem::internal));
        match done {
            Ok(value) => Self::Done(value),
            Err(problem) => Self::Problem(problem),
        }
    }

    /// As a line.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}
