//! The manifest, asked for in a sandbox without capabilities.

use std::time::Duration;

use tidegate_engine::integration::Digest;
use tidegate_engine::limits::Limits;
use tidegate_engine::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtxBuilder;

use crate::engine::{Runtime, RuntimeError};
use crate::identify::Identity;
use crate::limiter::Limiter;
use crate::run::Plugin;
use crate::state::RunState;

/// Longest time that a manifest may take.
const MANIFEST_WALL: Duration = Duration::from_secs(2);
/// Most memory that the guest may hold while it makes its manifest.
const MANIFEST_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// What a component is and says of itself.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub digest: Digest,
    pub bytes: usize,
    pub identity: Identity,
    pub manifest: Manifest,
}

/// Why a component can't be deployed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the export `manifest` failed: {0}")]
    Trap(String),
    #[error("the export `manifest` took longer than {} s", MANIFEST_WALL.as_secs())]
    Slow,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl From<crate::IdentifyError> for InspectError {
    fn from(error: crate::IdentifyError) -> Self {
        Self::Runtime(error.into())
    }
}

impl Runtime {
    /// Say what `bytes` are, load them and ask for the manifest.
    pub async fn inspect(&self, bytes: &[u8]) -> Result<(Inspection, Plugin), InspectError> {
        let identity = crate::identify::identify(bytes)?;
        let plugin = self.load(bytes)?;
        let text = tokio::time::timeout(MANIFEST_WALL, self.manifest_text(&plugin))
            .await
            .map_err(|_| InspectError::Slow)??;
        let manifest = Manifest::parse(&text)?;
        let digest = plugin.digest();
        Ok((
            Inspection {
                digest,
                bytes: bytes.len(),
                identity,
                manifest,
            },
            plugin,
        ))
    }

    async fn manifest_text(&self, plugin: &Plugin) -> Result<String, InspectError> {
        let limits = Limits {
            memory_bytes: MANIFEST_MEMORY_BYTES,
            ..Limits::default()
        };
        let state = RunState {
            wasi: WasiCtxBuilder::new().build(),
            table: ResourceTable::new(),
            limiter: Limiter::new(&limits),
            live: None,
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(MANIFEST_BYTES_MAX * 2);
        let trap = |error: wasmtime::Error| InspectError::Trap(format!("{error:#}"));
        let instance = plugin
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(trap)?;
        instance.call_manifest(&mut store).await.map_err(trap)
    }
}
