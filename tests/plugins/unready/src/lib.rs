//! Panics when it is asked for its manifest, as a plugin does that reads what is there only in a run.

use tidegate_sdk::prelude::*;

fn plugin() -> Plugin {
    println!("looking for the settings");
    let settings = std::env::var("SETTINGS").ok();
    let name = settings.expect("the settings are there");
    Plugin::new(name, env!("CARGO_PKG_VERSION"))
}

tidegate_sdk::export!(plugin);
