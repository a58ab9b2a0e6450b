#![doc = include_str!("../README.md")]

mod config;
mod cx;
mod document;
mod failure;
mod feed;
mod full_pull;
#[cfg_attr(
    target_arch = "wasm32",
    allow(
        unreachable_pub,
        reason = "some shapes are public only in the fake host"
    )
)]
mod host;
mod http;
mod json;
pub mod log;
mod plugin;
mod pointer;
pub mod prelude;
mod records;
mod template;
mod text;

#[cfg(not(target_arch = "wasm32"))]
pub mod test;

pub use crate::config::ConfigPath;
pub use crate::cx::{Cx, RunContext};
pub use crate::failure::{Context, Failure, FailureKind, Result, Upstream};
pub use crate::feed::FeedReader;
pub use crate::full_pull::{Finish, FullPull, Pass, Presence, SeenIds};
pub use crate::host::{Change, ChangeAction, ModelOutcome, SnapshotEnd};
pub use crate::http::{
    Expected, HttpPage, ItemResult, Multipart, PageSizes, Pages, Paginate, Position,
    RequestBuilder, Response, Responses, Verdict, default_verdict, encode, resolve_url,
};
pub use crate::plugin::{
    Action, Auth, ClientAuth, ConfigKey, HandlerFuture, HeaderAuth, Model, Name, OAuth, Plugin,
    Record, Schema, Sync, TemplateAuth, TokenUrl,
};
pub use crate::pointer::{Finder, Found, Pointer, PointerError, scalar_text};
pub use crate::records::{Commit, CommitOutcome, OnBadRecord};
pub use crate::template::{FillError, Place, Template, TemplateError};
pub use futures;
pub use serde_json;
pub use tidegate_rules::surrogates::mended;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use crate::host::wasm as __wasm;

/// Makes the plugin that a function declares the one that this crate's component exports.
///
/// Natively it only checks the function's type, so that the crate can be tested.
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// fn plugin() -> Plugin {
///     Plugin::new("nothing", "0.1.0")
/// }
///
/// tidegate_sdk::export!(plugin);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:path) => {
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Plugin = $plugin;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::__wasm::bindings::Guest for Exported {
                fn manifest() -> ::std::string::String {
                    $plugin().manifest()
                }

                async fn sync(
                    name: ::std::string::String,
                ) -> ::std::result::Result<(), $crate::__wasm::bindings::Failure> {
                    $crate::__wasm::sync($plugin(), name).await
                }

                async fn action(
                    name: ::std::string::String,
                    input: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, $crate::__wasm::bindings::Failure>
                {
                    $crate::__wasm::action($plugin(), name, input).await
                }

                async fn event(
                    kind: ::std::string::String,
                    payload: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, $crate::__wasm::bindings::Failure>
                {
                    $crate::__wasm::event($plugin(), kind, payload).await
                }
            }

            $crate::__wasm::bindings::export_plugin!(
                Exported with_types_in $crate::__wasm::bindings
            );
        };
    };
}
