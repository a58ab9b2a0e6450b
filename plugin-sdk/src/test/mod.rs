//! A fake host: runs a plugin natively against canned responses, so that `cargo test` can assert
//! on what it committed.
//!
//! ```
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::test::{FakeHost, get};
//!
//! fn plugin() -> Plugin {
//!     Plugin::new("notes", "0.1.0").host("base-url").sync(Sync::new("notes", notes).model("Note"))
//! }
//!
//! async fn notes(cx: Cx) -> Result<()> {
//!     let notes: Vec<Value> = cx.get("/notes").json().await?;
//!     cx.batch("Note").save_all(&notes)?.commit().await?;
//!     Ok(())
//! }
//!
//! let host = FakeHost::new()
//!     .base_url("https://api.example.com")
//!     .respond(get("/notes"), json!([{ "id": 7, "text": "tide" }]));
//! let outcome = host.run_sync(plugin(), "notes");
//! outcome.assert_ok();
//! assert_eq!(outcome.records("Note")["7"]["text"], "tide");
//! assert_eq!(outcome.totals("Note").added, 1);
//! host.assert_all_used();
//! ```
//!
//! It keeps records, checkpoints and metadata over several runs, and enforces the contract's
//! rules with the code of the real host, so that a test fails where that would refuse. It
//! does not repeat requests, as the real host does: a canned 503 is what came back at the end.
//! Its clock is virtual: sleeping takes no time, and time passes only while all of the plugin
//! waits.

mod clock;
mod declared;
mod fake;
mod gate;
mod outcome;
mod reply;
mod request;
mod seam;
mod snapshots;
mod state;
mod store;

pub use self::fake::FakeHost;
pub use self::outcome::{Committed, LogLine, Outcome};
pub use self::reply::{Matcher, Reply, any, delete, get, patch, post, put};
pub use self::request::Request;
pub(crate) use self::seam::{Handle, log, next_cause};
pub use crate::host::{Batch, Change, ChangeAction, Retry, Saved, Skipped};
pub use crate::log::Level;
