//! Credentials: where they come from, and sealing them at rest.
//!
//! A secret's text is never an argument, never printed, and never stored in clear.

mod ring;
mod seal;
mod source;
mod sources;

use std::collections::BTreeMap;

pub(crate) use ring::{KeyRing, Place};
pub use ring::{VARIABLE, VARIABLE_NEXT};
pub use seal::random;
pub(crate) use seal::{KeyId, MasterKey, Unopened, key_of, origin_of, probe, rewrap};
pub use source::{SECRET_BYTES_MAX, parse_flag, read_source};
pub use sources::Sources;
use tidegate_egress::Secret;

/// A connection's secrets by name.
pub type SecretMap = BTreeMap<String, Secret>;
