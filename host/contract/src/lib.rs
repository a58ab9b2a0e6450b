//! Host-side bindings of `wit/`, in a crate of their own because they are slow to compile and
//! change only when the contract does.
//!
//! Nothing but generated code lives here. `tidegate-runtime` implements the imports.
#![allow(
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code"
)]
#![allow(
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    imports: { default: trappable },
    exports: { default: async },
});

/// The version of the contract that this host implements.
pub const VERSION: &str = "0.2.0";
/// The package of the contract, without its version.
pub const PACKAGE: &str = "tidegate:plugin";
