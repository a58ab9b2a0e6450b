//! Why there is no runtime, or no plugin.

use tidegate_engine::limits::COMPILE_MS;

/// The runtime could not be set up, or a component could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("wasmtime could not be set up: {0}")]
    Setup(String),
    #[error(transparent)]
    Identify(#[from] crate::IdentifyError),
    #[error("the component does not compile: {0}")]
    Compile(String),
    #[error("compiling the component took longer than the limit compile_ms, {COMPILE_MS} ms")]
    Slow,
    #[error("the component does not fit the contract: {0}")]
    Link(String),
}
