//! Credentials: where they come from, and sealing them at rest.
//!
//! A secret's text is never an argument, never printed, and never stored in clear.

mod seal;
mod source;

use std::collections::BTreeMap;

pub(crate) use seal::{MasterKey, random};
pub(crate) use source::parse_flag;
use tidegate_egress::Secret;

/// A connection's secrets by name.
pub(crate) type SecretMap = BTreeMap<String, Secret>;
