//! A sync with an input: the lines below are what the compiler has to say of it.

// error[E0593]: function is expected to take 1 argument, but it takes 2 arguments
use tidegate_sdk::prelude::*;

async fn todos(_: Cx, _: Value) -> Result<()> {
    Ok(())
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
