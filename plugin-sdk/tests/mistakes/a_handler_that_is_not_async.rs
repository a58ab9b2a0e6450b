// error[E0277]: this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<()>`
// gives `std::result::Result<(), Failure>`
use tidegate_sdk::prelude::*;

fn todos(_: Cx) -> Result<()> {
    Ok(())
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos", todos))
}
