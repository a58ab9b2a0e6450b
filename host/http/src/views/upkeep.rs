//! How large a store is, and what a check of it found.

use serde::Serialize;
use tidegate_engine::{Name, upkeep};
use utoipa::ToSchema;

use super::text;

/// How large the store is.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoreStats {
    /// Bytes of the database's files.
    disk_bytes: u64,
    /// Component files.
    components: u64,
    component_bytes: u64,
    integrations: u64,
    connections: u64,
    runs: u64,
    /// Models that have records.
    models: u64,
    /// All models together.
    total: ModelSize,
    /// The models that take most space, the largest first, at most 20.
    largest: Vec<SizedModel>,
}

/// How large a model is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelSize {
    live: u64,
    deleted: u64,
    /// Records whose bodies retention removed.
    pruned: u64,
    /// Bytes of the bodies of live records.
    live_bytes: u64,
    /// Entries of the change feed, superseded ones included.
    entries: u64,
    /// Those that are superseded.
    dead_entries: u64,
    segments: u64,
    /// Bytes of segments as they are stored.
    segment_bytes: u64,
}

/// A model and its size.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SizedModel {
    #[schema(value_type = text::Name)]
    integration: Name,
    #[schema(value_type = text::ConnectionName)]
    connection: tidegate_engine::ConnectionName,
    #[schema(value_type = text::Name)]
    model: Name,
    #[serde(flatten)]
    size: ModelSize,
}

impl From<&upkeep::ModelSize> for ModelSize {
    fn from(size: &upkeep::ModelSize) -> Self {
        Self {
            live: size.stats.live,
            deleted: size.stats.deleted,
            pruned: size.stats.pruned,
            live_bytes: size.stats.live_bytes,
            entries: size.entries,
            dead_entries: size
                .entries
                .saturating_sub(size.stats.live + size.stats.deleted),
            segments: size.segments,
            segment_bytes: size.segment_bytes,
        }
    }
}

impl From<&upkeep::StoreStats> for StoreStats {
    fn from(stats: &upkeep::StoreStats) -> Self {
        let largest = stats.largest.iter().map(|(model, size)| SizedModel {
            integration: model.connection.integration.clone(),
            connection: model.connection.connection.clone(),
            model: model.model.clone(),
            size: size.into(),
        });
        Self {
            disk_bytes: stats.disk_bytes,
            components: stats.components,
            component_bytes: stats.component_bytes,
            integrations: stats.integrations,
            connections: stats.connections,
            runs: stats.runs,
            models: stats.models,
            total: (&stats.total).into(),
            largest: largest.collect(),
        }
    }
}

/// What a check of the store looked at and found.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckReport {
    keys: u64,
    models: u64,
    /// Records whose index entry, feed entry and body were compared.
    records: u64,
    runs: u64,
    components: u64,
    /// How much is wrong; more than is listed.
    wrong: u64,
    /// The first 100 of that.
    findings: Vec<Finding>,
    /// What is not wrong but worth knowing.
    notes: Vec<String>,
}

/// Something in the store that is not as it must be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// The key, feed, run or file.
    place: String,
    what: String,
}

impl From<upkeep::CheckReport> for CheckReport {
    fn from(report: upkeep::CheckReport) -> Self {
        let findings = report.findings.into_iter().map(|finding| Finding {
            place: finding.place,
            what: finding.what,
        });
        Self {
            keys: report.keys,
            models: report.models,
            records: report.records,
            runs: report.runs,
            components: report.components,
            wrong: report.wrong,
            findings: findings.collect(),
            notes: report.notes,
        }
    }
}
