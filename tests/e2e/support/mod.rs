//! What the tests share: the built binary, the plugins, and servers that behave as told.

pub mod advice;
pub mod cli;
pub mod crm;
pub mod http;
pub mod kinto;
pub mod oidc;
pub mod own;
pub mod plugins;
pub mod real;
pub mod server;
pub mod stripe;
pub mod tap;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it, and how long a compiler may.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const PATIENCE_COMPILING: Duration = Duration::from_secs(600);

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder for what tests prepare once and keep, below the target directory.
pub fn kept(name: &str) -> PathBuf {
    // …/target/tmp, which cargo makes for integration tests.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Let a process live for so long before it is killed: a random moment is what such a test is about.
pub fn live_for(time: Duration) {
    std::thread::sleep(time);
}

/// Wait until `ready` gives something: the one place where a test looks again and again, for what
/// tells nobody when it happens (a process that ends, a port that opens).
#[track_caller]
pub fn wait_until<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
