//! Who must act when something fails.

use serde::{Deserialize, Serialize};

/// Who must act so that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The plugin's author.
    Guest,
    /// Tidegate, or the machine it runs on.
    Host,
    /// The outside API.
    Upstream,
    /// Whoever deployed, granted and configured.
    Operator,
}

impl Blame {
    /// The word for people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Upstream => "upstream",
            Self::Operator => "operator",
        }
    }
}
