//! A record that is not serialize: the lines below are what the compiler has to say of it.

// error[E0277]: the trait bound `Todo: serde::Serialize` is not satisfied
// consider adding `#[derive(serde::Serialize)]` to your `Todo` type
use tidegate_sdk::prelude::*;

pub struct Todo {
    pub id: u64,
}

impl Record for Todo {
    const MODEL: &str = "Todo";
}

pub async fn todos(cx: Cx) -> Result<()> {
    cx.batch(Todo::model()).save_all(&[Todo { id: 1 }])?.commit().await?;
    Ok(())
}
