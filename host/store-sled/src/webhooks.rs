//! Reads of webhooks: endpoints, and the log of deliveries a part at a time.

use tidegate_engine::StoreError;
use tidegate_engine::webhook::{Delivery, Endpoint, EndpointId};

use crate::disk::{View, damaged};
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows;
use crate::lists::SCAN;

pub(crate) fn endpoint(view: &View<'_>, id: EndpointId) -> Result<Endpoint, StoreError> {
    let row = view.row(&keys::endpoint(id), rows::decode)?;
    row.ok_or_else(|| StoreError::NotFound {
        what: "endpoint",
        name: id.to_string(),
    })
}

pub(crate) fn endpoints(view: &View<'_>) -> Result<Vec<Endpoint>, StoreError> {
    let rows = view.prefix(&Key::new(Tag::Endpoint)).map(|item| {
        let (key, value) = item?;
        rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
    });
    rows.collect()
}

/// The newest deliveries of an endpoint before an event, at most `SCAN`.
pub(crate) fn some_deliveries(
    view: &View<'_>,
    id: EndpointId,
    before: Option<u64>,
) -> Result<Vec<Delivery>, StoreError> {
    endpoint(view, id)?;
    let prefix = keys::deliveries(id);
    let end = before.map_or_else(
        || prefix.after_prefix(),
        |before| keys::delivery(id, before),
    );
    let rows = view.range(&prefix, &end).rev().take(SCAN).map(|item| {
        let (key, value) = item?;
        rows::decode(&value).map_err(|corrupt| damaged(&key, corrupt))
    });
    rows.collect()
}
