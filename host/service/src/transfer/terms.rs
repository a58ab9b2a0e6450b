//! What an import may bring: who says so, and what is shown to them first.

use std::io::BufRead;

use serde::{Deserialize, Serialize};
use tidegate_engine::Name;
use tidegate_engine::grant::Grants;
use tidegate_engine::integration::{Deployment, Integration};

use super::LINE_BYTES_MAX;
use super::Totals;
use super::lines::{IntegrationLine, Kind};
use crate::problem::{Problem, Result};

/// On which terms something is imported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportTerms {
    /// Its components must be here already: an export has no signatures.
    pub signed_only: bool,
    pub grants: AcceptedGrants,
}

/// The grants that an import may bring.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AcceptedGrants {
    /// Whoever imports it answers for what is in it.
    Any,
    /// Those that somebody has seen.
    These(Vec<Granted>),
}

/// What an integration is granted, by its current deployment and by those that it may be rolled back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub integration: Name,
    pub current: Grants,
    /// By the deployment's number.
    pub earlier: Vec<(u32, Grants)>,
}

impl Granted {
    pub(crate) fn of(integration: &Integration) -> Self {
        let earlier = integration.earlier.iter();
        let grants = |deployment: &Deployment| (deployment.number, deployment.grants.clone());
        Self {
            integration: integration.name.clone(),
            current: integration.current.grants.clone(),
            earlier: earlier.map(grants).collect(),
        }
    }
}

impl AcceptedGrants {
    pub(super) fn check(&self, granted: &Granted) -> Result<()> {
        match self {
            Self::These(seen) if !seen.contains(granted) => {
                let message = format!(
                    "it brings the integration {} with grants that nobody has agreed to",
                    granted.integration
                );
                Err(Problem::invalid(message).hint(
                    "import it from a file, which shows them and asks, or add --yes to take whatever it brings",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    #[serde(flatten)]
    pub totals: Totals,
    /// What its integrations are granted.
    pub granted: Vec<Granted>,
}

/// The grants of the integrations in an export, to be shown before it is imported. What is wrong with it, the
/// import says: an integration that is not found here is then one that nobody has agreed to.
pub fn granted(input: &mut (dyn BufRead + Send)) -> Result<Vec<Granted>> {
    let mut granted = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut part = std::io::Read::take(&mut *input, LINE_BYTES_MAX as u64 + 1);
        if part
            .read_until(b'\n', &mut line)
            .map_err(Problem::invalid)?
            == 0
        {
            return Ok(granted);
        }
        let kind: Option<Kind<'_>> = serde_json::from_slice(&line).ok();
        if kind.is_some_and(|kind| kind.kind == "integration")
            && let Ok(IntegrationLine { integration }) = serde_json::from_slice(&line)
        {
            granted.push(Granted::of(&integration));
        }
    }
}
