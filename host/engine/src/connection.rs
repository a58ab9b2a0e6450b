//! Connections: how large their parts may be, which of them a listing is about, and what an update
//! leaves as it was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::integration::Connection;

pub use crate::limits::METADATA_BYTES_MAX;

/// Most bytes of a connection's or an integration's config as JSON: the guest gets it whole.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Most tags of a connection.
pub const TAGS_MAX: usize = 32;
/// Most bytes of a tag's key, which is ASCII letters, digits, `-`, `_`, `.`, `:` and `/`.
pub const TAG_KEY_BYTES_MAX: usize = 64;
/// Most bytes of a tag's value, without control characters; it may be empty.
pub const TAG_VALUE_BYTES_MAX: usize = 256;
/// Most bytes of an external id, at least one, without control characters.
pub const EXTERNAL_ID_BYTES_MAX: usize = 256;

/// A part of a connection is beyond its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    #[error("{what} has {bytes} bytes; the most is {max}")]
    Long {
        what: &'static str,
        bytes: usize,
        max: usize,
    },
    #[error("there are {count} tags; the most is {TAGS_MAX}")]
    ManyTags { count: usize },
    #[error(
        "the tag {key:?}: a key has 1 to {TAG_KEY_BYTES_MAX} of the characters a-z, A-Z, 0-9, '-', '_', '.', ':' \
         and '/'"
    )]
    TagKey { key: String },
    #[error(
        "the value of the tag {key:?}: it has at most {TAG_VALUE_BYTES_MAX} bytes and no control characters"
    )]
    TagValue { key: String },
    #[error("the external id: it has 1 to {EXTERNAL_ID_BYTES_MAX} bytes and no control characters")]
    ExternalId,
}

/// Check everything of a connection that has bounds, apart from what the manifest says of it.
pub fn check(
    config: &Map<String, Value>,
    metadata: &Map<String, Value>,
    tags: &BTreeMap<String, String>,
    external_id: Option<&str>,
) -> Result<(), BoundError> {
    check_size("the connection's config", config, CONFIG_BYTES_MAX)?;
    check_size("the connection's metadata", metadata, METADATA_BYTES_MAX)?;
    if tags.len() > TAGS_MAX {
        return Err(BoundError::ManyTags { count: tags.len() });
    }
    for (key, value) in tags {
        check_tag(key, value)?;
    }
    let fits = |id: &str| {
        (1..=EXTERNAL_ID_BYTES_MAX).contains(&id.len()) && !id.contains(char::is_control)
    };
    match external_id.is_none_or(fits) {
        true => Ok(()),
        false => Err(BoundError::ExternalId),
    }
}

/// Check that an object takes at most `max` bytes as JSON.
pub fn check_size(
    what: &'static str,
    object: &Map<String, Value>,
    max: usize,
) -> Result<(), BoundError> {
    let bytes = serde_json::to_string(object).map_or(usize::MAX, |text| text.len());
    match bytes <= max {
        true => Ok(()),
        false => Err(BoundError::Long { what, bytes, max }),
    }
}

fn check_tag(key: &str, value: &str) -> Result<(), BoundError> {
    let in_key = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !(1..=TAG_KEY_BYTES_MAX).contains(&key.len()) || !key.chars().all(in_key) {
        // Cut, since it may be of any length.
        let key = key.chars().take(TAG_KEY_BYTES_MAX).collect();
        return Err(BoundError::TagKey { key });
    }
    if value.len() > TAG_VALUE_BYTES_MAX || value.contains(char::is_control) {
        let key = key.to_owned();
        return Err(BoundError::TagValue { key });
    }
    Ok(())
}

/// Which connections a listing is about: those that fit all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionFilter {
    /// Each of these tags with this value.
    pub tags: BTreeMap<String, String>,
    pub external_id: Option<String>,
    /// How the connection's name begins.
    pub name_prefix: Option<String>,
    /// Only those whose credentials are not accepted.
    pub auth_failed: bool,
    /// Only those of which something fails.
    pub unhealthy: bool,
}

impl ConnectionFilter {
    /// Whether `connection` fits.
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        let name = connection.key.connection.as_str();
        let prefix = self.name_prefix.as_deref();
        let external_id = self.external_id.as_ref();
        prefix.is_none_or(|prefix| name.starts_with(prefix))
            && (!self.auth_failed || connection.auth_failure().is_some())
            && (!self.unhealthy || !connection.is_healthy())
            && external_id.is_none_or(|id| connection.external_id.as_ref() == Some(id))
            && self
                .tags
                .iter()
                .all(|(key, value)| connection.tags.get(key) == Some(value))
    }

    /// Whether neither `connection` nor any after it, by name, can fit.
    #[must_use]
    pub fn is_past(&self, connection: &Connection) -> bool {
        let name = connection.key.connection.as_str();
        let prefix = self.name_prefix.as_deref();
        prefix.is_some_and(|prefix| name > prefix && !name.starts_with(prefix))
    }
}

/// What a stored connection becomes by `update`: everything of it is the update's, but for when it
/// came to be. `None` when it has been changed since the revision that the update has seen.
#[must_use]
pub fn updated(stored: &Connection, update: &Connection) -> Option<Connection> {
    let new = Connection {
        revision: update.revision.wrapping_add(1),
        created_at: stored.created_at,
        ..update.clone()
    };
    // The same update again, as when its answer was lost, has happened.
    (stored.revision == update.revision || *stored == new).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connection(name: &str) -> Connection {
        serde_json::from_value(json!({
            "key": {"integration": "crm", "connection": name}, "base_url": "https://a.example/",
            "config": {}, "metadata": {}, "secret_names": [], "sealed_secrets": [],
            "created_at": 1, "updated_at": 1, "tags": {"plan": "pro", "eu": ""}, "external_id": "42",
        }))
        .unwrap()
    }

    #[test]
    fn bounds() {
        let object = |bytes: usize| {
            let text = "x".repeat(bytes - r#"{"a":""}"#.len());
            json!({ "a": text }).as_object().unwrap().clone()
        };
        let tags = |count: usize| {
            (0..count)
                .map(|n| (format!("k{n}"), String::new()))
                .collect()
        };
        let tag = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let none = Map::new();
        // (config, metadata, tags, external id, fine)
        let rows = [
            (
                object(CONFIG_BYTES_MAX),
                object(METADATA_BYTES_MAX),
                tags(TAGS_MAX),
                Some("x".repeat(EXTERNAL_ID_BYTES_MAX)),
                true,
            ),
            (
                object(CONFIG_BYTES_MAX + 1),
                none.clone(),
                tags(0),
                None,
                false,
            ),
            (
                none.clone(),
                object(METADATA_BYTES_MAX + 1),
                tags(0),
                None,
                false,
            ),
            (none.clone(), none.clone(), tags(TAGS_MAX + 1), None, false),
            (
                none.clone(),
                none.clone(),
                tags(0),
                Some(String::new()),
                false,
            ),
            (
                none.clone(),
                none.clone(),
                tags(0),
                Some("x".repeat(EXTERNAL_ID_BYTES_MAX + 1)),
                false,
            ),
            (
                none.clone(),
                none.clone(),
                tags(0),
                Some("a\nb".to_owned()),
                false,
            ),
            (
                none.clone(),
                none.clone(),
                tag("a:b/c.d-e_F0", "é, = and so on"),
                Some("é 1".to_owned()),
                true,
            ),
            (none.clone(), none.clone(), tag("", ""), None, false),
            (none.clone(), none.clone(), tag("a b", ""), None, false),
            (none.clone(), none.clone(), tag("a=b", ""), None, false),
            (
                none.clone(),
                none.clone(),
                tag(&"k".repeat(TAG_KEY_BYTES_MAX + 1), ""),
                None,
                false,
            ),
            (
                none.clone(),
                none.clone(),
                tag("k", &"v".repeat(TAG_VALUE_BYTES_MAX + 1)),
                None,
                false,
            ),
            (none.clone(), none, tag("k", "\u{1b}"), None, false),
        ];
        for (row, (config, metadata, tags, external_id, fine)) in rows.iter().enumerate() {
            let checked = check(config, metadata, tags, external_id.as_deref());
            assert_eq!(checked.is_ok(), *fine, "row {row}: {checked:?}");
        }
    }

    #[test]
    fn filters_need_all_of_it() {
        let tag = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let filter = |tags, external_id: Option<&str>, prefix: Option<&str>| ConnectionFilter {
            tags,
            external_id: external_id.map(str::to_owned),
            name_prefix: prefix.map(str::to_owned),
            ..ConnectionFilter::default()
        };
        let rows = [
            (filter(tag("plan", "pro"), Some("42"), Some("ac")), true),
            (filter(tag("eu", ""), None, None), true),
            (filter(tag("plan", "free"), None, None), false),
            (filter(tag("us", ""), None, None), false),
            (filter(BTreeMap::new(), Some("4"), None), false),
            (filter(BTreeMap::new(), None, Some("acme-")), false),
            (ConnectionFilter::default(), true),
            (
                ConnectionFilter {
                    auth_failed: true,
                    ..ConnectionFilter::default()
                },
                false,
            ),
            (
                ConnectionFilter {
                    unhealthy: true,
                    ..ConnectionFilter::default()
                },
                false,
            ),
        ];
        for (filter, fits) in rows {
            assert_eq!(filter.matches(&connection("acme")), fits, "{filter:?}");
        }
        let prefix = filter(BTreeMap::new(), None, Some("b"));
        for (name, past) in [("a", false), ("b", false), ("bz", false), ("c", true)] {
            assert_eq!(prefix.is_past(&connection(name)), past, "{name}");
        }
    }
}
