//! Reading the change feed of another integration's model, for destinations.

use serde::de::DeserializeOwned;

use crate::failure::of_store;
use crate::host::{Change, Host, Source};
use crate::{Cx, Failure, Result};

/// How many changes are read at once, unless told.
const LIMIT_DEFAULT: u32 = 1_000;

/// Reads a change feed from a cursor on.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// async fn push(cx: Cx) -> Result<()> {
///     let mut feed = cx.feed("crm", "Contact").from(cx.checkpoint::<String>()?);
///     while let Some(changes) = feed.next().await? {
///         for change in &changes {
///             cx.put(format!("/people/{}", change.id)).send().await?;
///         }
///         cx.save_checkpoint(&feed.cursor()).await?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct FeedReader {
    cx: Cx,
    source: Source,
    cursor: Option<String>,
    limit: u32,
}

impl FeedReader {
    pub(crate) fn new(cx: Cx, integration: String, model: String) -> Self {
        FeedReader {
            cx,
            source: Source {
                integration,
                connection: None,
                model,
            },
            cursor: None,
            limit: LIMIT_DEFAULT,
        }
    }

    /// The connection whose records to read; by default the one of the same name as this run's.
    pub fn connection(mut self, connection: impl Into<String>) -> Self {
        self.source.connection = Some(connection.into());
        self
    }

    /// Continue after a cursor; `None` is the start.
    pub fn from(mut self, cursor: impl Into<Option<String>>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Read at most so many changes at once (1 to 10,000; 1,000 by default).
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// The next changes, oldest first, each record once and in its latest state; `None` when
    /// there is nothing after the cursor yet.
    pub async fn next(&mut self) -> Result<Option<Vec<Change>>> {
        let changes = self
            .cx
            .host()
            .read_feed(self.source.clone(), self.cursor.clone(), self.limit)
            .await
            .map_err(|error| {
                let Source {
                    integration, model, ..
                } = &self.source;
                of_store(
                    &format!("reading the change feed {integration}/{model}"),
                    error,
                )
            })?;
        match changes.last() {
            Some(last) => self.cursor = Some(last.cursor.clone()),
            None => return Ok(None),
        }
        Ok(Some(changes))
    }

    /// Just after the last change that was read: what to store as the checkpoint.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

impl Change {
    /// The body, decoded; `None` when it was pruned.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(body) = &self.body else {
            return Ok(None);
        };
        match serde_json::from_str(body) {
            Ok(body) => Ok(Some(body)),
            Err(error) => Err(Failure::other(format!(
                "the record `{}` of the change feed: {error}",
                self.id
            ))),
        }
    }
}
