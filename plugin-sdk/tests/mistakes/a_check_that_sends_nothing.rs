//! A check that sends nothing: the lines below are what the compiler has to say of it.

// error[E0277]: this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<()>`
// gives `RequestBuilder`
use tidegate_sdk::prelude::*;

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").check(|cx| cx.get("/me"))
}
