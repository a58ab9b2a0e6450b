//! Looks for what it must not see: the host's surroundings, and the connection's secret.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_sdk::prelude::*;

use crate::MODEL;

/// Stores what WASI says about the machine.
pub async fn looks_around(cx: Cx) -> Result<()> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock")?;
    let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let arguments: Vec<String> = std::env::args().collect();
    let seen = json!({
        "id": "seen",
        "variables": variables,
        "arguments": arguments,
        "wasi_ms": since.as_millis() as u64,
        "clock_ms": cx.now(),
        "directory": std::env::current_dir().ok().map(|path| path.display().to_string()),
    });
    cx.batch(MODEL).save(&seen)?.commit().await?;
    Ok(())
}

#[derive(Deserialize)]
struct Config {
    /// The secret backwards, so that the config itself doesn't hold it.
    backwards: String,
    /// A text in the API's answer, backwards: what a search must find to be worth anything.
    control_backwards: String,
}

/// Makes a request with the secret in it, and looks for the secret in all of its own memory.
pub async fn seeks_secret(cx: Cx) -> Result<()> {
    let config: Config = cx.config()?;
    let response = cx.get("/").send().await?;
    let found = json!({
        "id": "found",
        "secret": places(config.backwards.as_bytes()),
        "control": places(config.control_backwards.as_bytes()),
        "bytes": memory().len(),
    });
    drop(response);
    cx.batch(MODEL).save(&found)?.commit().await?;
    Ok(())
}

/// How often the bytes stand in memory the other way round.
fn places(backwards: &[u8]) -> usize {
    let memory = memory();
    let same = |window: &[u8]| window.iter().eq(backwards.iter().rev());
    memory.windows(backwards.len()).filter(|w| same(w)).count()
}

/// All linear memory of this component.
fn memory() -> &'static [u8] {
    const PAGE_BYTES: usize = 65536;
    let pages = core::arch::wasm32::memory_size(0);
    // SAFETY: linear memory is one readable range of this length, and nothing else runs while we
    // look: a component has one thread. Reading from 1 leaves out the address that Rust calls null.
    unsafe { core::slice::from_raw_parts(1 as *const u8, pages * PAGE_BYTES - 1) }
}
