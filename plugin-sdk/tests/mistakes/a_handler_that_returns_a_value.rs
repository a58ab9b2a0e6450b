//! A handler that returns a value: the lines below are what the compiler has to say of it.

// error[E0277]: this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<()>`
// gives `impl std::future::Future<Output = std::result::Result<u32, Failure>>`
use tidegate_sdk::prelude::*;

async fn todos(_: Cx) -> Result<u32> {
    Ok(1)
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
