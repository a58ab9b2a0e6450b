//! Ids that are a prefix and a ULID, so that they say what they name and sort by time.

/// Define the id type `$name`, written as `$prefix`, `_` and a ULID.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $error:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(ulid::Ulid);

        #[doc = concat!("A text is not ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error("{0:?} is not {what}: one looks like {prefix}_01JD3…", what = $what, prefix = $prefix)]
        pub struct $error(String);

        impl $name {
            /// A new id from a time and 80 bits, both the caller's.
            #[must_use]
            pub fn from_parts(now: $crate::Timestamp, bits: u128) -> Self {
                Self(ulid::Ulid::from_parts(now.0, bits))
            }

            /// The id that `parts` always have: two who make it make the same.
            #[must_use]
            pub fn derived(now: $crate::Timestamp, parts: &[&[u8]]) -> Self {
                let mut hasher = blake3::Hasher::new();
                for part in parts {
                    hasher.update(&(part.len() as u64).to_le_bytes());
                    hasher.update(part);
                }
                let hash = hasher.finalize();
                let bits = hash.as_bytes().first_chunk::<16>();
                Self::from_parts(now, bits.map_or(0, |bytes| u128::from_le_bytes(*bytes)))
            }

            /// The time that it was made from.
            #[must_use]
            pub fn time(self) -> $crate::Timestamp {
                $crate::Timestamp(self.0.timestamp_ms())
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

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&format!("{}_{}", $prefix, self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(|id| ulid::Ulid::from_string(id).ok())
                    .map(Self)
                    .ok_or_else(|| $error(text.chars().take(60).collect()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

pub(crate) use id;

id!(
    /// Identifies a job.
    JobId, JobIdError, "job", "a job id"
);
