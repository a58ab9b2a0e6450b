//! The smallest plugin: fetches todos and stores them.

use tidegate_sdk::prelude::*;

#[derive(Serialize, Deserialize)]
struct Todo {
    id: u64,
    title: String,
    completed: bool,
}

impl Record for Todo {
    const MODEL: &str = "Todo";
}

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .sync(Sync::new("todos", todos).model(Todo::model()))
}

async fn todos(cx: Cx) -> Result<()> {
    let todos: Vec<Todo> = cx.get("/todos").json().await?;
    cx.batch(Todo::model()).save_all(&todos)?.commit().await?;
    Ok(())
}

tidegate_sdk::export!(plugin);

#[cfg(test)]
mod tests {
    use tidegate_sdk::prelude::*;
    use tidegate_sdk::test::{FakeHost, get};

    use super::Todo;

    #[test]
    fn stores_todos() {
        let todos = json!([
            { "id": 1, "title": "say hello", "completed": true },
            { "id": 2, "title": "say it again", "completed": false, "ignored": 7 }
        ]);
        let host = FakeHost::new()
            .base_url("https://api.example.com")
            .respond(get("/todos"), todos);
        let outcome = host.run_sync(super::plugin(), "todos");
        outcome.assert_ok();
        let todo = json!({ "id": 2, "title": "say it again", "completed": false });
        assert_eq!(outcome.records(Todo::MODEL)["2"], todo);
        assert_eq!(outcome.totals(Todo::MODEL).added, 2);
    }
}
