//! A model that was checked once: whoever reads records of it gets it first, and reads with it.

use serde::{Deserialize, Serialize};
use tidegate_engine::ModelKey;
use tidegate_engine::cursor::Cursor;
use tidegate_engine::store::{ActionFilter, ReadChanges};

/// A model that its connection has, or may get, as [`Control::known_model`](super::Control::known_model) found. Reading with it
/// doesn't look again, so a request, a stream included, checks once. When the connection is removed meanwhile, the next
/// read is refused all the same: the store knows no records of it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownModel(ModelKey);

impl KnownModel {
    /// Only who has checked it makes one.
    pub(super) fn new(model: ModelKey) -> Self {
        Self(model)
    }

    #[must_use]
    pub fn key(&self) -> &ModelKey {
        &self.0
    }
}

/// A read of a known model's change feed; the rest is as in [`ReadChanges`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadModel {
    pub model: KnownModel,
    pub after: Option<Cursor>,
    pub filter: ActionFilter,
    pub limit: usize,
    pub bytes_max: usize,
}

impl From<ReadModel> for ReadChanges {
    fn from(read: ReadModel) -> Self {
        Self {
            model: read.model.0,
            after: read.after,
            filter: read.filter,
            limit: read.limit,
            bytes_max: read.bytes_max,
        }
    }
}
