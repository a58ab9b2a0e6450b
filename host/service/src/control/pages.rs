//! Going through connections page by page: all of them, or those of an integration that fit a filter.

use tidegate_engine::connection::ConnectionFilter;
use tidegate_engine::integration::Connection;
use tidegate_engine::{ConnectionName, Name};

use super::local::Local;
use crate::problem::Result;

/// Connections read at once while looking through many.
pub(super) const PAGE: usize = 500;

/// All connections of all integrations, page by page.
pub(super) struct Pages {
    limit: usize,
    integration: Option<Name>,
    after: Option<ConnectionName>,
    only: bool,
}

impl Pages {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            integration: None,
            after: None,
            only: false,
        }
    }

    /// Only those of this integration.
    pub(super) fn of(integration: &Name, limit: usize) -> Self {
        Self {
            integration: Some(integration.clone()),
            only: true,
            ..Self::new(limit)
        }
    }

    /// The next page; an empty one of an integration without more doesn't count.
    pub(super) async fn next(&mut self, local: &Local) -> Result<Option<Vec<Connection>>> {
        loop {
            if let Some(name) = &self.integration {
                let after = self.after.as_ref();
                let page = local.store.connections(name, after, self.limit).await?;
                if let Some(last) = page.last() {
                    self.after = Some(last.key.connection.clone());
                    return Ok(Some(page));
                }
            }
            if self.only {
                return Ok(None);
            }
            let next = local
                .store
                .integrations(self.integration.as_ref(), 1)
                .await?;
            let Some(next) = next.into_iter().next() else {
                return Ok(None);
            };
            (self.integration, self.after) = (Some(next.name), None);
        }
    }
}

/// Everything of an integration that a filter lets through, in pages.
pub(super) async fn filtered(
    local: &Local,
    integration: &Name,
    filter: &ConnectionFilter,
    after: Option<&ConnectionName>,
    limit: usize,
) -> Result<Vec<Connection>> {
    let mut found = Vec::new();
    let mut after = after.cloned();
    loop {
        let page = local
            .store
            .connections(integration, after.as_ref(), PAGE)
            .await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|last| last.key.connection.clone());
        for connection in page {
            if found.len() >= limit || filter.is_past(&connection) {
                return Ok(found);
            }
            if filter.matches(&connection) {
                found.push(connection);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}
