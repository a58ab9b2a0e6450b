//! A handler that is not async: the lines below are what the compiler has to say of it.

// error[E0277]: this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<()>`
// gives `std::result::Result<(), Failure>`
use tidegate_sdk::prelude::*;

fn todos(_: Cx) -> Result<()> {
    Ok(())
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
