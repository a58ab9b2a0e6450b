//! A handler with another error: the lines below are what the compiler has to say of it.

// error[E0277]: this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<()>`
// gives `impl std::future::Future<Output = std::result::Result<(), std::string::String>>`
use tidegate_sdk::prelude::*;

async fn todos(_: Cx) -> Result<(), String> {
    Err("no".to_owned())
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
