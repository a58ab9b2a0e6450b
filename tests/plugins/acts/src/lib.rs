//! Actions that do well, and one for each way to do badly.
//!
//! Only ever a component: one of them answers what is no JSON, past the SDK.
#![cfg(target_arch = "wasm32")]

mod badly;
mod well;

use tidegate_sdk::__wasm as sdk;
use tidegate_sdk::prelude::*;

fn plugin() -> Plugin {
    let item = json!({ "type": "object", "required": ["id"] });
    let new_item = json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "minLength": 1 },
            "qty": { "type": "integer", "minimum": 0 },
            "tags": { "type": "array", "items": { "type": "string" } }
        }
    });
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .auth(Auth::bearer("token"))
        .model("Secretive")
        .sync(Sync::new("items", well::items).model("Item"))
        .action(Action::new("echo", well::echo))
        .action(Action::new("context", well::context))
        .action(
            Action::new("create", well::create)
                .describe("Create an item and store it")
                .model("Item")
                .input(new_item)
                .output(item.clone()),
        )
        .action(Action::new("twice", well::twice))
        .action(
            Action::new("count", well::count)
                .describe("Count in two models")
                .model("Item")
                .model("Note"),
        )
        .action(Action::new("get", well::get))
        .action(Action::new("fail", badly::fail))
        .action(Action::new("reject-at-length", badly::reject_at_length))
        .action(Action::new("large", badly::large))
        .action(Action::new("misfit", badly::misfit).output(item))
        .action(Action::new("no-json", badly::misfit))
        .action(Action::new("panic", badly::panics))
        .action(Action::new("loop", badly::loops))
        .action(Action::new("sleep", badly::sleeps))
        .action(Action::new("hold", badly::holds))
        .action(Action::new("trespass", badly::trespasses))
        .action(Action::new("checkpoint", badly::checkpoints))
}

struct Exported;

impl sdk::bindings::Guest for Exported {
    fn manifest() -> String {
        plugin().manifest()
    }

    async fn sync(name: String) -> std::result::Result<(), sdk::bindings::Failure> {
        sdk::sync(plugin(), name).await
    }

    async fn action(
        name: String,
        input: String,
    ) -> std::result::Result<String, sdk::bindings::Failure> {
        if name == "no-json" {
            return Ok("<html>".to_owned());
        }
        sdk::action(plugin(), name, input).await
    }

    async fn event(
        kind: String,
        payload: String,
    ) -> std::result::Result<String, sdk::bindings::Failure> {
        sdk::event(plugin(), kind, payload).await
    }
}

sdk::bindings::export_plugin!(Exported with_types_in sdk::bindings);
