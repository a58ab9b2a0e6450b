//! A handler that borrows: the lines below are what the compiler has to say of it.

// error[E0631]: type mismatch in function arguments
// expected function signature `fn(tidegate_sdk::Cx) -> _`
use tidegate_sdk::prelude::*;

async fn todos(_: &Cx) -> Result<()> {
    Ok(())
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
