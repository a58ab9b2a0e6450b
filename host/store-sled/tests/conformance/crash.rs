//! Kills of a process that works on a sled store, some while it opens one.

use tidegate_store_conformance::crash;
use tidegate_store_sled::{Options, Tuning};

use super::Sled;

/// What a kill while sled opens can leave behind, and sled can't open.
const TRAP: &str = "snap.00000000000FFFFF.generating";

#[test]
fn kills_lose_nothing() {
    // Compaction, folding, endings and purges in steps happen all the time.
    let tuning = Tuning {
        compact_slack: 40,
        fold_after: 5,
        ending_step: 7,
        step_keys: 10,
        step_bytes: 4000,
        ..Tuning::default()
    };
    let sled = Sled::with(Options {
        cache_bytes: 8 << 20,
        tuning,
    });
    let is_trapped = |kill: u64| kill.is_multiple_of(8);
    crash::kills_lose_nothing(
        &sled,
        "crash::kills_lose_nothing",
        |kill, root| {
            if is_trapped(kill) {
                std::fs::write(root.join("db").join(TRAP), "").unwrap();
            }
        },
        |kill, store| {
            let is_noted = store.notes().iter().any(|note| note.contains(TRAP));
            assert!(is_noted || !is_trapped(kill), "{:?}", store.notes());
        },
    );
}
