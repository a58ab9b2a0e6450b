//! Keys of what was dropped and still has keys, and of what is not finished.

use super::{Key, Tag};

/// Dropped feeds.
pub(crate) fn dropped_feeds() -> Key {
    Key::new(Tag::Dropped).name("feed")
}

/// Dropped connections.
pub(crate) fn dropped_connections() -> Key {
    Key::new(Tag::Dropped).name("connection")
}

/// Integrations that are being dropped, whose connections go first.
pub(crate) fn dropped_integrations() -> Key {
    Key::new(Tag::Dropped).name("integration")
}

/// Integrations of imports that are being finished: what they have by then is nobody's yet.
pub(crate) fn unfinished_imports() -> Key {
    Key::new(Tag::Dropped).name("import")
}

/// Dropped endpoints.
pub(crate) fn dropped_endpoints() -> Key {
    Key::new(Tag::Dropped).name("endpoint")
}

/// Removed schedules.
pub(crate) fn dropped_schedules() -> Key {
    Key::new(Tag::Dropped).name("schedule")
}
