//! A type without a model: the lines below are what the compiler has to say of it.

// error[E0599]: no function or associated item named `model` found for struct `Todo` in the current scope
// note: the following trait defines an item `model`, perhaps you need to implement it
use tidegate_sdk::prelude::*;

pub struct Todo;

pub fn sync() -> Sync {
    Sync::new("todos", |_| async { Ok(()) }).model(Todo::model())
}
