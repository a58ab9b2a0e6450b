//! An action of other types: the lines below are what the compiler has to say of it.

// error[E0277]: the trait bound `New: serde::de::DeserializeOwned` is not satisfied
// error[E0277]: the trait bound `Made: serde::Serialize` is not satisfied
use tidegate_sdk::prelude::*;

pub struct New;
pub struct Made;

async fn make(_: Cx, _: New) -> Result<Made> {
    Ok(Made)
}

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").action(Action::new("make", make))
}
