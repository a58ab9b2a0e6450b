//! What a case is: something hostile, and what must come of it.

use std::net::TcpStream;

use serde_json::Value;
use tidegate_engine::run::{LogLine, Run};

/// Something hostile.
#[derive(Debug, Clone)]
pub enum Does {
    /// This sync of `tests/plugins/hostile`.
    Sync(&'static str),
    /// This action of `tests/plugins/hostile`.
    Action(&'static str),
    /// The sync `run` of a component that no compiler would make.
    Component(fn() -> Vec<u8>),
    /// A component that is not even deployed.
    Deploy(fn() -> Vec<u8>),
    /// A server, to which an honest plugin talks.
    Serve(fn(TcpStream)),
}

/// What was seen of a case that ran, for more than its end.
#[derive(Debug)]
pub struct Seen {
    pub run: Run,
    pub logs: Vec<LogLine>,
    /// Bodies of all records.
    pub records: Vec<Value>,
    /// Requests that the case's server answered at the same time, at most.
    pub at_once: usize,
    /// Unix time in milliseconds, before and after.
    pub between: (u64, u64),
}

/// How a case ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// `failed`, `interrupted`, `success`, or `refused` at the deploy.
    pub outcome: String,
    /// `limit`, `trap`, …; empty after a success.
    pub class: String,
    pub blame: String,
    pub limit: String,
}

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: &'static str,
    pub does: Does,
    /// Set by the operator, so that breaking them is quick.
    pub limits: Vec<(&'static str, u64)>,
    /// Granted by the operator.
    pub metadata_write: bool,
    pub end: End,
    /// What the failure says.
    pub says: Vec<&'static str>,
    pub check: Option<fn(&Seen)>,
}

impl Case {
    /// It fails, with nobody's limit, unless told otherwise.
    pub fn new(name: &'static str, does: Does) -> Self {
        let end = match does {
            Does::Deploy(_) => end("refused", "plugin", "guest", ""),
            Does::Serve(_) => end("failed", "other", "upstream", ""),
            Does::Sync(_) | Does::Action(_) | Does::Component(_) => {
                end("failed", "other", "guest", "")
            }
        };
        Self {
            name,
            does,
            limits: Vec::new(),
            metadata_write: false,
            end,
            says: Vec::new(),
            check: None,
        }
    }

    pub fn with(mut self, limit: &'static str, value: u64) -> Self {
        self.limits.push((limit, value));
        self
    }

    pub fn may_write_metadata(mut self) -> Self {
        self.metadata_write = true;
        self
    }

    /// It breaks this limit.
    pub fn breaks(mut self, limit: &str) -> Self {
        self.end.limit = limit.to_owned();
        if self.end.outcome != "refused" {
            self.end.class = "limit".to_owned();
        }
        self
    }

    pub fn class(mut self, class: &str) -> Self {
        self.end.class = class.to_owned();
        self
    }

    pub fn blame(mut self, blame: &str) -> Self {
        self.end.blame = blame.to_owned();
        self
    }

    /// It had moved its checkpoint, so the next run goes on from there.
    pub fn interrupted(mut self) -> Self {
        self.end.outcome = "interrupted".to_owned();
        self
    }

    /// It does no harm, which the check shows.
    pub fn harmless(mut self, check: fn(&Seen)) -> Self {
        self.end = end("success", "", "", "");
        self.check = Some(check);
        self
    }

    pub fn says(mut self, part: &'static str) -> Self {
        self.says.push(part);
        self
    }

    pub fn check(mut self, check: fn(&Seen)) -> Self {
        self.check = Some(check);
        self
    }
}

fn end(outcome: &str, class: &str, blame: &str, limit: &str) -> End {
    End {
        outcome: outcome.to_owned(),
        class: class.to_owned(),
        blame: blame.to_owned(),
        limit: limit.to_owned(),
    }
}

impl End {
    /// How a run ended.
    pub fn of(run: &Run) -> Self {
        let end = run.end.as_ref().expect("it has ended");
        let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let failure = serde_json::to_value(&end.failure).unwrap();
        Self {
            outcome: word(serde_json::to_value(end.outcome).unwrap()),
            class: word(failure["class"].clone()),
            blame: word(failure["blame"].clone()),
            limit: word(failure["limit"].clone()),
        }
    }

    /// How a deploy was refused: our own failures are no verdict.
    pub fn refused(kind: &str, message: &str) -> Self {
        let names = tidegate_engine::limits::FIXED
            .iter()
            .map(|bound| bound.name);
        let mut named = names.filter(|name| message.contains(name));
        Self {
            outcome: "refused".to_owned(),
            class: kind.to_lowercase(),
            blame: "guest".to_owned(),
            limit: named.next().unwrap_or_default().to_owned(),
        }
    }
}
