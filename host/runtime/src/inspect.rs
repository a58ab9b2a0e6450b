//! The manifest, asked for in a sandbox without capabilities.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use tidegate_engine::integration::Digest;
use tidegate_engine::limits::{
    COMPILE_MS, COMPONENT_PARTS, Limits, MANIFEST_BYTES, MANIFEST_MEMORY_BYTES, MANIFEST_MS,
};
use tidegate_engine::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};
use wasmtime::component::ResourceTable;
use wasmtime::{Store, Trap};
use wasmtime_wasi::WasiCtxBuilder;

use crate::engine::Runtime;
use crate::error::RuntimeError;
use crate::identify::Identity;
use crate::limiter::Limiter;
use crate::outcome::FUEL_IS_GONE;
use crate::plugin::Plugin;
use crate::state::RunState;
use crate::stdio::{PrintedTail, Stdio};

/// Handles that a guest may hold while it makes its manifest, for which it needs none.
const MANIFEST_HANDLES: usize = 100;

/// What a component is and says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Why, and what it printed before.
    #[error("the export `manifest` failed: {why}{}", printed(.output))]
    Trap { why: String, output: Option<String> },
    #[error("the export `manifest` took longer than the limit manifest_ms, {MANIFEST_MS} ms")]
    Slow,
    #[error("the export `manifest` needed more than the limit {name}, {most}, and stopped")]
    Limit { name: &'static str, most: u64 },
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
    pub fn inspect<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> BoxFuture<'a, Result<(Inspection, Plugin), InspectError>> {
        Box::pin(async move {
            let identity = crate::identify::identify(bytes)?;
            let plugin = self.load_in_time(bytes).await?;
            let time = Duration::from_millis(MANIFEST_MS);
            let text = tokio::time::timeout(time, self.manifest_text(&plugin))
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
        })
    }

    /// Compile in a thread of its own: it may take long, must not hold up the runs beside it, and
    /// can't be interrupted. One that takes too long is left to end by itself.
    async fn load_in_time(&self, bytes: &[u8]) -> Result<Plugin, RuntimeError> {
        let (engine, cache, bytes) = (self.engine.clone(), self.cache.clone(), bytes.to_vec());
        let digest = Digest::of(&bytes);
        let compile = move || crate::cache::load(&engine, cache.as_deref(), digest, &bytes);
        let component = in_time(Duration::from_millis(COMPILE_MS), compile).await??;
        self.link(&component, digest)
    }

    fn manifest_text<'a>(
        &'a self,
        plugin: &'a Plugin,
    ) -> BoxFuture<'a, Result<String, InspectError>> {
        Box::pin(async move {
            let limits = Limits {
                memory_bytes: MANIFEST_MEMORY_BYTES,
                // What holds for a run is the operator's to say.
                instances: COMPONENT_PARTS,
                tables: COMPONENT_PARTS,
                table_elements: u64::MAX,
                ..Limits::default()
            };
            let words = PrintedTail::default();
            let state = RunState {
                wasi: WasiCtxBuilder::new()
                    .stdout(Stdio(words.clone()))
                    .stderr(Stdio(words.clone()))
                    .build(),
                table: ResourceTable::new(),
                limiter: Limiter::new(&limits),
                live: None,
            };
            let mut store = Store::new(&self.engine, state);
            store.limiter(|state| &mut state.limiter);
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
            store.set_hostcall_fuel(MANIFEST_BYTES_MAX);
            store.set_max_component_handles(MANIFEST_HANDLES);
            let made = async {
                let instance = plugin.pre.instantiate_async(&mut store).await?;
                instance.call_manifest(&mut store).await
            };
            made.await.map_err(|error| {
                let text = format!("{error:#}");
                let limit = |name, most| InspectError::Limit { name, most };
                if text.contains(FUEL_IS_GONE) {
                    return limit("manifest_bytes", MANIFEST_BYTES);
                }
                if crate::outcome::too_many_parts(&text).is_some() {
                    return limit("component_parts", COMPONENT_PARTS);
                }
                match store.data().limiter.refused() {
                    Some("memory_bytes") => limit("manifest_memory_bytes", MANIFEST_MEMORY_BYTES),
                    Some(name) => limit(name, limits.get(name).unwrap_or(0)),
                    None => InspectError::Trap {
                        why: why(&error, text),
                        output: words.text(),
                    },
                }
            })
        })
    }
}

fn why(error: &wasmtime::Error, text: String) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "it panicked or aborted".to_owned(),
        Some(trap) => trap.to_string(),
        None => text,
    }
}

fn printed(output: &Option<String>) -> String {
    match output {
        Some(output) => format!("; it printed:\n{output}"),
        None => String::new(),
    }
}

/// What `compile` comes to in a thread of its own, unless it takes longer than `time`.
async fn in_time<T: Send + 'static>(
    time: Duration,
    compile: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RuntimeError> {
    let (done, compiled) = tokio::sync::oneshot::channel();
    let compile = move || {
        // Nobody waits any more when it took too long.
        let _ = done.send(compile());
    };
    std::thread::Builder::new()
        .name("compile".to_owned())
        .spawn(compile)
        .map_err(|error| RuntimeError::Setup(error.to_string()))?;
    match tokio::time::timeout(time, compiled).await {
        Ok(Ok(compiled)) => Ok(compiled),
        Ok(Err(_)) => Err(RuntimeError::Compile("the compiler failed".to_owned())),
        Err(_) => Err(RuntimeError::Slow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn compiling_that_takes_too_long_is_given_up() {
        let (_never, ends) = std::sync::mpsc::channel::<()>();
        let slow = in_time(Duration::from_millis(20), move || ends.recv().is_ok()).await;
        let refused = slow.unwrap_err();
        assert!(refused.to_string().contains("compile_ms"), "{refused}");
        let fast = in_time(Duration::from_secs(60), || 7).await;
        assert_eq!(fast.unwrap(), 7);
        let panics = in_time(Duration::from_secs(60), || panic!("as a compiler might")).await;
        let failed: Result<(), RuntimeError> = panics;
        assert!(matches!(failed, Err(RuntimeError::Compile(_))));
    }
}
