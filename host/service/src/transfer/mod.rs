//! Exports: a model, a connection, an integration or everything as JSON lines with their metadata.
//!
//! `docs/data.md` describes the format for people. The first line says what it is, the last one how
//! many lines of each kind there were, so that a cut file is noticed. Both directions stream: one
//! page of records is in memory, and one component.

mod export;
mod import;
mod lines;
pub mod pipe;
mod terms;

use serde::{Deserialize, Serialize};
use tidegate_engine::transfer::Imported;
use tidegate_engine::{ConnectionKey, ConnectionName, ModelKey, Name};

pub(crate) use export::export;
pub use import::{Checks, describe, import};
pub use lines::one_line;
pub use terms::{AcceptedGrants, Granted, ImportReport, ImportTerms, granted};

/// The version of the format that this version writes; it reads all up to it.
const VERSION: u64 = 1;
/// Longest line that is read, in bytes: a record's body has at most 4 MiB, a connection's row less
/// than 1 MiB.
pub const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a component in one line.
const COMPONENT_PIECE_BYTES: usize = 3 * 256 * 1024;

/// What to export: everything, or what the names say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "ScopeNames")]
pub enum ExportScope {
    All {},
    Integration {
        integration: Name,
    },
    Connection(ConnectionKey),
    Model {
        integration: Name,
        connection: ConnectionName,
        model: Name,
    },
}

/// The names of a scope, as it is written: by themselves they tell which one it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeNames {
    pub integration: Option<Name>,
    pub connection: Option<ConnectionName>,
    pub model: Option<Name>,
}

impl TryFrom<ScopeNames> for ExportScope {
    type Error = &'static str;

    fn try_from(names: ScopeNames) -> std::result::Result<Self, Self::Error> {
        match (names.integration, names.connection, names.model) {
            (None, None, None) => Ok(Self::All {}),
            (Some(integration), None, None) => Ok(Self::Integration { integration }),
            (Some(integration), Some(connection), None) => Ok(Self::Connection(ConnectionKey {
                integration,
                connection,
            })),
            (Some(integration), Some(connection), Some(model)) => Ok(Self::Model {
                integration,
                connection,
                model,
            }),
            _ => Err("connection needs integration, and model needs connection"),
        }
    }
}

impl ExportScope {
    /// One model.
    #[must_use]
    pub fn model(key: ModelKey) -> Self {
        Self::Model {
            integration: key.connection.integration,
            connection: key.connection.connection,
            model: key.model,
        }
    }
}

/// What an export has, or an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub components: u64,
    pub integrations: u64,
    pub connections: u64,
    pub models: u64,
    /// Deleted ones included.
    pub records: u64,
    pub checkpoints: u64,
}

impl Totals {
    fn of(imported: Imported, components: u64) -> Self {
        let Imported {
            integrations,
            connections,
            models,
            records,
            checkpoints,
        } = imported;
        Self {
            components,
            integrations,
            connections,
            models,
            records,
            checkpoints,
        }
    }
}
