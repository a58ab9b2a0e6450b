//! What a plugin usually needs: `use tidegate_sdk::prelude::*;`.
//!
//! [`Sync`] is the SDK's here; the standard marker trait is `std::marker::Sync`.

pub use crate::{
    Action, Auth, Context as _, Cx, Failure, FailureKind, Model, OnBadRecord, Paginate, Plugin,
    Position, Record, Result, Sync,
};
pub use crate::{debug, error, info, warn};
pub use futures::future::{join_all, try_join_all};
pub use futures::stream::{self, StreamExt as _, TryStreamExt as _};
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};
