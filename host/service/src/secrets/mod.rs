//! Credentials: sealing them at rest, and the keys that seal.
//!
//! A secret's text is never an argument, never printed, and never stored in clear.

mod ring;
mod seal;

use std::collections::BTreeMap;

pub(crate) use ring::{KeyRing, Place};
pub use ring::{VARIABLE, VARIABLE_NEXT};
pub use seal::random;
pub(crate) use seal::{KeyId, MasterKey, UnsealError, key_of, origin_of, probe, rewrap};
use tidegate_egress::Secret;

/// Most bytes of one secret: a private key in PEM fits.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// A connection's secrets by name.
pub type SecretMap = BTreeMap<String, Secret>;
