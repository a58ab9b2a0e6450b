//! What went wrong, for people and as an exit code.

use serde::{Deserialize, Serialize};
use std::fmt;
use tidegate_engine::command_line::CommandLine;

use tidegate_engine::StoreError;
use tidegate_engine::cursor::CursorError;
use tidegate_store_sled::OpenError;

/// Kinds of problems; each has its exit code, documented in `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A run or an action did not succeed.
    RunFailed,
    /// The command line or an input is wrong. clap exits with the same code.
    Invalid,
    /// An integration, connection, run or file that is not there.
    NotFound,
    /// A cursor that the store can't go on from: read from the start.
    Expired,
    /// What is there contradicts what is asked: exists already, busy.
    Conflict,
    /// The data directory can't be used: in use, read-only, of a newer format, damaged.
    DataDirectory,
    /// Secrets that can't be opened: the master key is a wrong one or missing, or they are damaged.
    Secrets,
    /// A plugin that can't be built or deployed.
    Plugin,
    /// An action, or the outside API, said no to what was asked.
    Rejected,
    /// The outside API failed, or could not be reached.
    Upstream,
    /// Tidegate or the machine failed.
    Internal,
}

impl Kind {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::RunFailed => 1,
            Self::Invalid | Self::Expired => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::DataDirectory | Self::Secrets => 5,
            Self::Plugin => 6,
            Self::Rejected => 10,
            Self::Upstream => 11,
            Self::Internal => 70,
        }
    }
}

/// A problem, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub kind: Kind,
    pub message: String,
    pub hint: Option<String>,
    /// Whether the hint lists what is there, which is for those only who may see it.
    pub lists: bool,
}

/// What commands return.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem without a hint.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
            lists: false,
        }
    }

    /// Bad input.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Something that is not there.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Our own failure.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Add what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self.lists = false;
        self
    }

    /// Add what to do about it and the command that does it.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "it is made for this")]
    pub fn advise(self, what: &str, command: CommandLine) -> Self {
        self.hint(format_args!("{what}: {command}"))
    }

    /// Add what is there: `the integrations are a, b`.
    #[must_use]
    pub fn listing<'a>(self, what: &str, names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let mut problem = self.hint(format!("the {what} are {}", names.join(", ")));
        problem.lists = true;
        problem
    }

    /// Say where it happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound { .. } => Kind::NotFound,
            StoreError::Exists { .. }
            | StoreError::Busy { .. }
            | StoreError::KeyConflict { .. }
            | StoreError::ManyKeys { .. }
            | StoreError::Full { .. }
            | StoreError::Fenced { .. } => Kind::Conflict,
            StoreError::Cursor(CursorError::Malformed) => Kind::Invalid,
            StoreError::Cursor(_) => Kind::Expired,
            StoreError::Page(_) | StoreError::NoSnapshot { .. } => Kind::Invalid,
            StoreError::Guard(_) => Kind::RunFailed,
            StoreError::Definition(_) => Kind::Invalid,
            StoreError::Stale { .. } | StoreError::State { .. } => Kind::Conflict,
            StoreError::Damaged { .. } => Kind::DataDirectory,
            StoreError::Backend(_) => Kind::Internal,
        };
        Self::new(kind, error)
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        Self::new(Kind::DataDirectory, error)
    }
}

impl From<tidegate_engine::name::NameError> for Problem {
    fn from(error: tidegate_engine::name::NameError) -> Self {
        Self::invalid(error)
    }
}
