//! A component that is compiled and linked, ready to be instantiated for each run.

use std::fmt;

use tidegate_contract as contract;
use tidegate_engine::integration::Digest;
use wasmtime::component::Component;

use crate::engine::Runtime;
use crate::error::RuntimeError;
use crate::state::RunState;

/// A component, compiled and linked, ready to be instantiated.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) pre: contract::PluginPre<RunState>,
    pub(crate) digest: Digest,
}

impl Plugin {
    /// The sha256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Compile a component (or take it from the cache) and link it.
    pub fn load(&self, bytes: &[u8]) -> Result<Plugin, RuntimeError> {
        let digest = Digest::of(bytes);
        let component = crate::cache::load(&self.engine, self.cache.as_deref(), digest, bytes)?;
        self.link(&component, digest)
    }

    pub(crate) fn link(
        &self,
        component: &Component,
        digest: Digest,
    ) -> Result<Plugin, RuntimeError> {
        let link = |error: wasmtime::Error| RuntimeError::Link(format!("{error:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(link)?;
        let pre = contract::PluginPre::new(pre).map_err(link)?;
        Ok(Plugin { pre, digest })
    }
}
