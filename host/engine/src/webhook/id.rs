//! Ids of endpoints and events: a prefix and a ULID, so that they sort by time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Timestamp;

/// A text is not an id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of {what}: one looks like {prefix}01JD3…")]
pub struct IdError {
    what: &'static str,
    prefix: &'static str,
    text: String,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $type:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(ulid::Ulid);

        impl $type {
            /// A new id from the time and 80 random bits, both the caller's.
            #[must_use]
            pub fn from_parts(now: Timestamp, random: u128) -> Self {
                Self(ulid::Ulid::from_parts(now.0, random))
            }

            /// 16 bytes whose order is the order of ids.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The id of [`Self::to_bytes`].
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(ulid::Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = text.strip_prefix($prefix);
                let id = id.and_then(|id| ulid::Ulid::from_string(id).ok());
                id.map(Self).ok_or_else(|| IdError {
                    what: $what,
                    prefix: $prefix,
                    text: text.chars().take(60).collect(),
                })
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

id_type!(
    /// Identifies an endpoint: `ep_` and a ULID.
    EndpointId, "ep_", "an endpoint"
);
id_type!(
    /// Identifies an event: `evt_` and a ULID. It is the header `webhook-id`, the same for every
    /// attempt, so receivers tell repeats by it.
    EventId, "evt_", "an event"
);

impl EventId {
    /// The id of what happened at `at` to what `parts` name. The same parts give the same id, so a
    /// store needs no chance, and a command that is repeated writes the same event.
    #[must_use]
    pub fn derived(at: Timestamp, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize();
        let random = hash
            .iter()
            .take(10)
            .fold(0u128, |random, byte| (random << 8) | u128::from(*byte));
        Self::from_parts(at, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back_and_nothing_else() {
        let id = EndpointId::from_parts(Timestamp(5), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(EndpointId::from_bytes(id.to_bytes()), id);
        for bad in [
            "",
            "ep_",
            "evt_01JD3",
            "run_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            &"x".repeat(99),
        ] {
            assert!(bad.parse::<EndpointId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        let id = |parts: &[&str]| EventId::derived(Timestamp(1), parts);
        assert_eq!(id(&["a", "b"]), id(&["a", "b"]));
        assert_ne!(id(&["a", "b"]), id(&["ab", ""]));
        assert_ne!(id(&["a"]), EventId::derived(Timestamp(2), &["a"]));
    }
}
