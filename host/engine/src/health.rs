//! What a connection's runs have come to lately: which syncs and actions fail, since when, and which of them
//! are **held**, as a person has to act before they can work.
//!
//! A failure of the class `auth` or `config` comes again as long as credentials, config and grants are what
//! they are. So schedules fire nothing for a target that is held; each moment is skipped with the reason. What
//! a person or an application asks for by name is run all the same, and lifts the hold if it succeeds.
//! `docs/connections.md` says what else does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::job::JobTarget;
use crate::run::{FailureClass, Outcome, RunEnd, TOKEN_REJECTED, Target};

/// Runs in a row that end with `auth` before their target is held. Some APIs answer 401 or 403 to good
/// credentials for a moment; a job has a second opinion a minute later ([`crate::job::AUTH_AGAIN_MS`]).
pub const AUTH_FAILURES_HELD: u32 = 2;
/// Bytes of a failure's message that are kept beside the connection.
pub const MESSAGE_BYTES: usize = 500;
/// The event that checks a connection.
const CHECK: &str = "connection-check";

/// Why a target is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Its credentials are not accepted.
    AuthFailed,
    /// Its config or its grants can't work.
    ConfigFailed,
}

impl Hold {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailed => "auth_failed",
            Self::ConfigFailed => "config_failed",
        }
    }
}

/// A sync or an action whose last run failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    pub class: FailureClass,
    /// The first failure of this class in a row.
    pub since: Timestamp,
    /// The last one. It is counted only while it matters: for `auth` and `config`.
    pub at: Timestamp,
    pub times: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    pub message: String,
}

/// The syncs and actions of a connection that fail, by kind and name: `sync contacts`. Those that are not
/// here work, or have not been tried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Health(BTreeMap<String, Failing>);

fn label(kind: &str, name: &str) -> String {
    format!("{kind} {name}")
}

impl Health {
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.0.is_empty()
    }

    /// What fails, by kind and name.
    pub fn failing(&self) -> impl Iterator<Item = (&str, &Failing)> {
        self.0
            .iter()
            .map(|(label, failing)| (label.as_str(), failing))
    }

    /// The first target that is held so, if one is.
    #[must_use]
    pub fn held(&self, hold: Hold) -> Option<(&str, &Failing)> {
        self.failing()
            .find(|(_, failing)| failing.hold == Some(hold))
    }

    /// Why a target is held, if it is.
    #[must_use]
    pub fn hold_of(&self, target: &JobTarget) -> Option<Hold> {
        let label = label(target.kind(), target.name().as_str());
        self.0.get(&label).and_then(|failing| failing.hold)
    }

    /// What it becomes by the end of a run, whose job goes on or not; `None` if it stays as it is.
    #[must_use]
    pub fn after(&self, target: &Target, end: &RunEnd, goes_on: bool) -> Option<Self> {
        if let Target::Event { event, .. } = target {
            // The API accepts the credentials.
            let accepted = event == CHECK && end.outcome == Outcome::Success;
            return accepted.then(|| self.without(Some(Hold::AuthFailed)))?;
        }
        let label = label(target.kind(), target.name());
        let old = self.0.get(&label);
        let new = match end.outcome {
            Outcome::Success => {
                old?;
                None
            }
            Outcome::Failed | Outcome::Stalled => Some(failed(old, end, goes_on)?),
            Outcome::Interrupted | Outcome::Cancelled | Outcome::Skipped => return None,
        };
        let mut health = self.clone();
        match new {
            Some(new) => health.0.insert(label, new),
            None => health.0.remove(&label),
        };
        Some(health)
    }

    /// Itself without what is held so, or without anything that is held; `None` if nothing is. What was about
    /// to be held begins anew, too.
    #[must_use]
    pub fn without(&self, hold: Option<Hold>) -> Option<Self> {
        let goes = |failing: &Failing| match hold {
            Some(Hold::AuthFailed) => failing.class == FailureClass::Auth,
            Some(Hold::ConfigFailed) => failing.class == FailureClass::Config,
            None => matches!(failing.class, FailureClass::Auth | FailureClass::Config),
        };
        self.0.values().any(goes).then(|| {
            let mut health = self.clone();
            health.0.retain(|_, failing| !goes(failing));
            health
        })
    }
}

/// A target after one more failure; `None` if that is nothing new.
fn failed(old: Option<&Failing>, end: &RunEnd, goes_on: bool) -> Option<Failing> {
    let failure = end.failure.as_ref()?;
    let class = failure.class;
    let same = old.filter(|old| old.class == class);
    let times = same.map_or(1, |same| same.times.saturating_add(1));
    let hold = match class {
        FailureClass::Config => Some(Hold::ConfigFailed),
        FailureClass::Auth => {
            let is_final = failure.code.as_deref() == Some(TOKEN_REJECTED);
            (is_final || times >= AUTH_FAILURES_HELD).then_some(Hold::AuthFailed)
        }
        // Not a word of the credentials, and it may pass by itself: what is held stays so.
        _ if goes_on || same.is_some() || old.is_some_and(|old| old.hold.is_some()) => return None,
        _ => None,
    };
    let mut message = failure.message.clone();
    let mut length = MESSAGE_BYTES.min(message.len());
    while !message.is_char_boundary(length) {
        length -= 1;
    }
    message.truncate(length);
    Some(Failing {
        class,
        since: same.map_or(end.at, |same| same.since),
        at: end.at,
        times,
        hold,
        message,
    })
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
