//! What a plugin usually needs: `use tidegate_sdk::prelude::*;`.
//!
//! Two names are those of the standard prelude, too. [`Result`] takes the same two parameters, and has [`Failure`] for the
//! second by default. [`Sync`] is the function of a plugin here. Handlers and their futures need not be `Sync` or
//! `Send`, so a plugin seldom names the marker trait; where it does, an import by name wins over the prelude's:
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use std::marker::Sync;
//!
//! fn shared<T: Send + Sync>(value: T) -> Result<T, std::fmt::Error> {
//!     Ok(value)
//! }
//! # assert!(shared(1).is_ok());
//! ```

pub use crate::{
    Action, Auth, Context as _, Cx, Failure, FailureKind, Model, OnBadRecord, Paginate, Plugin,
    Position, Record, Result, Sync,
};
pub use crate::{debug, error, info, warn};
pub use futures::future::{join_all, try_join_all};
pub use futures::stream::{self, StreamExt as _, TryStreamExt as _};
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};
