//! From names to handlers: actions, events, and what the plugin doesn't have.

use tidegate_sdk::prelude::*;

use tidegate_sdk::test::{Reply, Retry};

use crate::{host, plugin};

#[derive(Deserialize)]
struct Add {
    a: u64,
    b: u64,
}

async fn add(_: Cx, add: Add) -> Result<u64> {
    if add.b == 0 {
        let failure = Failure::rejected("nothing to add").code("zero");
        return Err(failure.payload(json!({ "a": add.a })));
    }
    Ok(add.a + add.b)
}

fn adder() -> Plugin {
    plugin(|_| async { Ok(()) })
        .action(Action::new("add", add))
        .check(|_| async { Err(Failure::auth("no such token")) })
        .on_event("connection-created", |cx: Cx, payload: Value| async move {
            Ok(json!([cx.context()?.name, payload]))
        })
}

#[test]
fn actions_are_typed() {
    let outcome = host().run_action(adder(), "add", json!({ "a": 2, "b": 3 }));
    assert_eq!(outcome.result, Ok(json!(5)));
}

#[test]
fn business_errors_carry_code_and_payload() {
    let outcome = host().run_action(adder(), "add", json!({ "a": 2, "b": 0 }));
    let failure = outcome.failure();
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert_eq!(failure.code.as_deref(), Some("zero"));
    assert_eq!(failure.payload.as_deref(), Some(r#"{"a":2}"#));
}

#[test]
fn input_that_does_not_fit_is_the_callers_fault() {
    let outcome = host().run_action(adder(), "add", json!({ "a": 2 }));
    let failure = outcome.failure();
    assert_eq!(
        (failure.kind, failure.code.as_deref()),
        (FailureKind::Rejected, Some("invalid-input"))
    );
    assert!(
        failure.message.starts_with("the input of action add"),
        "{failure}"
    );
    assert!(failure.message.contains("missing field `b`"), "{failure}");
}

#[test]
fn events() {
    let outcome = host().run_event(adder(), "connection-created", json!({ "x": 1 }));
    assert_eq!(
        outcome.result,
        Ok(json!(["connection-created", { "x": 1 }]))
    );
    assert_eq!(host().run_check(adder()).failure().kind, FailureKind::Auth);
}

#[test]
fn what_the_plugin_does_not_have_is_unsupported() {
    let bare = || plugin(|_| async { Ok(()) });
    let (sync, action) = (
        host().run_sync(adder(), "t"),
        host().run_action(adder(), "sub", json!({})),
    );
    let event = host().run_event(adder(), "x", json!({}));
    for (failure, message) in [
        (sync.failure(), "this plugin has no sync `t`; it has: s"),
        (
            action.failure(),
            "this plugin has no action `sub`; it has: add",
        ),
        (
            event.failure(),
            "this plugin has no event `x`; it has: connection-check, connection-created",
        ),
        (
            host().run_check(bare()).failure(),
            "this plugin has no event `connection-check`; it has: none",
        ),
    ] {
        assert_eq!(failure.kind, FailureKind::Unsupported);
        assert_eq!(failure.message, message);
    }
}

#[test]
fn an_action_for_each_key_of_the_config() {
    let plugin = || {
        Plugin::new("rest", "0.1.0")
            .sync(Sync::each("/models", |_| async { Ok(()) }))
            .action(Action::each(
                "/actions",
                |cx: Cx, input: Value| async move {
                    let record = json!({ "id": 1, "of": input });
                    cx.batch("todos").save(&record)?.commit().await?;
                    Ok(cx.context()?.name)
                },
            ))
    };
    let host = host().config(json!({ "models": { "todos": {} }, "actions": { "close": {} } }));
    let outcome = host.run_action(plugin(), "close", json!(7));
    assert_eq!(outcome.result, Ok(json!("close")));
    assert_eq!(outcome.records("todos")["1"]["of"], 7);
}

#[test]
fn requests_of_an_action_carry_keys_made_of_the_callers() {
    let plugin = || {
        let act = |cx: Cx, (): ()| async move {
            cx.get("/a").send().await?;
            cx.post("/b").send().await?;
            cx.put("/c").send().await?;
            cx.post("/d").idempotency_key("own").send().await?;
            cx.post("/e").without_idempotency_key().send().await?;
            cx.patch("/f").send().await?;
            Ok(())
        };
        Plugin::new("p", "0.1.0")
            .host("base-url")
            .action(Action::new("act", act))
    };
    let keys = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        let host = host()
            .context(|run| run.idempotency_key = key)
            .on(|_| Some(Reply::json(json!({}))));
        let outcome = host.run_action(plugin(), "act", ());
        outcome.assert_ok();
        let keys = outcome.requests.iter();
        keys.map(|request| (request.idempotency_key.clone(), request.retry))
            .collect::<Vec<_>>()
    };
    let may = |key: Option<&str>| (key.map(str::to_owned), Retry::Idempotent);
    let once = |key: &str| (Some(key.to_owned()), Retry::Never);
    assert_eq!(
        keys(Some("k")),
        [
            may(None),
            once("k"),
            may(None),
            may(Some("own")),
            may(None),
            once("k-2")
        ]
    );
    assert_eq!(
        keys(None),
        [
            may(None),
            may(None),
            may(None),
            may(Some("own")),
            may(None),
            may(None)
        ]
    );
}

#[test]
fn a_sync_for_each_model_of_the_config() {
    let plugin = || {
        Plugin::new("rest", "0.1.0").sync(Sync::each("/models", |cx| async move {
            let name = cx.context()?.name;
            cx.batch(name.as_str())
                .save(&json!({ "id": 1 }))?
                .commit()
                .await?;
            Ok(())
        }))
    };
    let host = host().config(json!({ "models": { "todos": {}, "users": {} } }));
    assert_eq!(
        host.run_sync(plugin(), "users")
            .assert_ok()
            .records("users")
            .len(),
        1
    );
    assert_eq!(
        host.run_sync(plugin(), "todos")
            .assert_ok()
            .records("todos")
            .len(),
        1
    );
}
