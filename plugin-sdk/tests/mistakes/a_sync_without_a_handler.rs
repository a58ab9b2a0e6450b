//! A sync without a handler: the lines below are what the compiler has to say of it.

// error[E0061]: this function takes 2 arguments but 1 argument was supplied
use tidegate_sdk::prelude::*;

pub fn plugin() -> Plugin {
    Plugin::new("p", "0.1.0").sync(Sync::new("todos"))
}
