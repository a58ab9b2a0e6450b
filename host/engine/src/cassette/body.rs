//! Bytes of a request or response: text where they are text, else base64.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A body. Equal bytes are always written in the same way.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Body(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum BodyText<'a> {
    Text(Cow<'a, str>),
    Base64(Cow<'a, str>),
}

impl Body {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be kept.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl Serialize for Body {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => BodyText::Text(text.into()),
            Err(_) => BodyText::Base64(STANDARD.encode(&self.0).into()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match BodyText::deserialize(deserializer)? {
            BodyText::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            BodyText::Base64(text) => STANDARD
                .decode(text.as_bytes())
                .map(Self)
                .map_err(serde::de::Error::custom),
        }
    }
}
