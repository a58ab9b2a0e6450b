//! Names and keys: what integrations, connections, syncs and models are called and how they nest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest [`Name`], in bytes: it appears in keys, files, labels and URLs.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest [`ConnectionName`], in bytes: applications use their own tenant ids.
pub const CONNECTION_NAME_BYTES_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a valid {what}: it must be 1 to {max} characters of {allowed}, and start with a letter or digit"
)]
pub struct NameError {
    what: &'static str,
    text: String,
    max: usize,
    allowed: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:expr, $extra:literal, $allowed:literal) => {
        $(#[$doc])*
        ///
        /// Shared: every run, job and row has a few, and hands them on.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || $extra.contains(c);
                let good = text.len() <= $max
                    && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && text.chars().all(allowed);
                if good {
                    return Ok(Self(text.into()));
                }
                // A hostile name can be long; the error is for a terminal.
                let text = text.chars().take(100).collect();
                Err(NameError { what: $what, text, max: $max, allowed: $allowed })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of an integration, sync, action, model or variant.
    Name, "name", NAME_BYTES_MAX, "_.-", "letters, digits, '_', '.' and '-'"
);
name_type!(
    /// The name of a connection: usually the application's own id of its customer.
    ConnectionName,
    "connection name",
    CONNECTION_NAME_BYTES_MAX,
    "_.-:@",
    "letters, digits, '_', '.', '-', ':' and '@'"
);

impl Name {
    /// The variant of a sync that is run in one part.
    #[must_use]
    pub fn base_variant() -> Self {
        Self("base".into())
    }
}

/// A connection of an integration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    pub integration: Name,
    pub connection: ConnectionName,
}

/// A model of a connection: what has one change feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelKey {
    pub connection: ConnectionKey,
    pub model: Name,
}

/// A sync of a connection: what has one checkpoint, and runs once at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SyncKey {
    pub connection: ConnectionKey,
    pub sync: Name,
    /// `base`, unless one sync is run in several independent parts.
    pub variant: Name,
}

impl ConnectionKey {
    /// The model `model` of this connection.
    #[must_use]
    pub fn model(&self, model: Name) -> ModelKey {
        ModelKey {
            connection: self.clone(),
            model,
        }
    }
}

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.integration, self.connection)
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connection, self.model)
    }
}

impl fmt::Display for SyncKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} ({})",
            self.connection.integration, self.sync, self.connection.connection
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in [
            "a",
            "Contact",
            "github-issues",
            "v1.2_x",
            "0",
            &"x".repeat(64),
        ] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".hidden",
            "a b",
            "a/b",
            "é",
            "a\0",
            "*",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("acme:eu@2".parse::<ConnectionName>().is_ok());
        assert!(serde_json::from_str::<Name>("\"a/b\"").is_err());
    }
}
