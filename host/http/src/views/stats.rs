//! How large a store is.

use serde_json::json;
use tidegate_engine::upkeep::{ModelSize, StoreStats};

/// By model, the largest first.
pub fn stats(stats: &StoreStats) -> serde_json::Value {
    let size = |size: &ModelSize| {
        json!({
            "live": size.stats.live,
            "deleted": size.stats.deleted,
            "pruned": size.stats.pruned,
            "live_bytes": size.stats.live_bytes,
            "entries": size.entries,
            "dead_entries": size.entries.saturating_sub(size.stats.live + size.stats.deleted),
            "segments": size.segments,
            "segment_bytes": size.segment_bytes,
        })
    };
    let largest = stats.largest.iter().map(|(model, own)| {
        let mut shown = size(own);
        if let Some(object) = shown.as_object_mut() {
            let key = &model.connection;
            object.insert("integration".to_owned(), json!(key.integration));
            object.insert("connection".to_owned(), json!(key.connection));
            object.insert("model".to_owned(), json!(model.model));
        }
        shown
    });
    json!({
        "disk_bytes": stats.disk_bytes,
        "components": stats.components,
        "component_bytes": stats.component_bytes,
        "integrations": stats.integrations,
        "connections": stats.connections,
        "runs": stats.runs,
        "models": stats.models,
        "total": size(&stats.total),
        "largest": largest.collect::<Vec<_>>(),
    })
}
