//! How what [`Control`](crate::control::Control) is given goes from a command to its server, where serde alone
//! has no shape for it: secrets, in clear, which no other place writes; bytes, as base64; a value that can
//! be set to nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret.
pub(crate) mod one {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use tidegate_egress::Secret;

    pub(crate) fn serialize<S: Serializer>(of: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        of.as_ref().map(Secret::expose).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

/// Secrets by name.
pub(crate) mod map {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::secrets::SecretMap;
    use std::collections::BTreeMap;
    use tidegate_egress::Secret;

    pub(crate) fn serialize<S: Serializer>(of: &SecretMap, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(of.iter().map(|(name, secret)| (name, secret.expose())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretMap, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?.into_iter();
        Ok(texts
            .map(|(name, text)| (name, Secret::new(text)))
            .collect())
    }
}

/// Text that leaves memory.
pub mod text {
    use super::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub fn serialize<S: Serializer>(of: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(of)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        Ok(Zeroizing::new(String::deserialize(from)?))
    }
}

/// Bytes that may be missing.
pub(crate) mod some_bytes {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;

    pub(crate) fn serialize<S: Serializer>(of: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        of.as_ref()
            .map(|bytes| STANDARD.encode(bytes))
            .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let bytes = text.map(|text| STANDARD.decode(text));
        bytes.transpose().map_err(D::Error::custom)
    }
}

/// Bytes.
pub mod bytes {
    use super::{Deserializer, Serializer, some_bytes};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    pub fn serialize<S: Serializer>(of: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(of))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(some_bytes::deserialize(from)?.unwrap_or_default())
    }
}

/// Keep it, take it away, or set it: null, [], [value].
pub(crate) mod twice {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        of: &Option<Option<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let list: Option<Vec<&T>> = of.as_ref().map(|value| value.iter().collect());
        list.serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        let list = Option::<Vec<T>>::deserialize(from)?;
        Ok(list.map(|list| list.into_iter().next()))
    }
}
