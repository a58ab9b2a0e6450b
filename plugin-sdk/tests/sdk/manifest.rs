//! The manifest is exactly what `docs/manifest.md` describes.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{ClientAuth, ConfigKey, OAuth, TokenUrl};

async fn nothing(_: Cx) -> Result<()> {
    Ok(())
}

async fn echo(_: Cx, input: Value) -> Result<Value> {
    Ok(input)
}

fn manifest(plugin: &Plugin) -> Value {
    serde_json::from_str(&plugin.manifest()).unwrap()
}

#[test]
fn of_a_type() {
    struct Contact;
    impl Record for Contact {
        const MODEL: &str = "Contact";
        const DESCRIPTION: Option<&str> = Some("A person");
        const SCHEMA: Option<&str> = Some(r#"{ "type": "object" }"#);
    }
    let plugin = Plugin::new("p", "0.1.0")
        .sync(Sync::new("s", nothing).model(Contact::model()))
        .action(Action::new("a", echo).model(Contact::MODEL));
    let manifest = manifest(&plugin);
    let model =
        json!({ "name": "Contact", "description": "A person", "schema": { "type": "object" } });
    assert_eq!(manifest["models"], json!([model]));
    assert_eq!(manifest["syncs"][0]["models"], json!(["Contact"]));
    assert_eq!(manifest["actions"][0]["models"], json!(["Contact"]));
}

#[test]
fn of_a_plugin_with_everything() {
    let plugin = Plugin::new("demo-crm", "0.1.0")
        .describe("Contacts \"and\" companies")
        .host("base-url")
        .feed("crm/Contact")
        .metadata_write()
        .limit("memory_bytes", 67_108_864)
        .config(json!({ "type": "object", "properties": {} }))
        .auth(Auth::bearer("token"))
        .auth(Auth::basic("user", "password"))
        .auth(Auth::header("X-Api-Key", "token").prefix("Token "))
        .auth(Auth::header(
            ConfigKey::new("/header", "X-Api-Key"),
            "token",
        ))
        .auth(Auth::query("api_key", "token"))
        .auth(
            Auth::template()
                .header("X-Key", "Key {key}:{app}")
                .query("sig", "{key}"),
        )
        .auth(
            OAuth::client_credentials("https://id.example/token")
                .scopes(["read", "write"])
                .client_auth(ClientAuth::Body),
        )
        .auth(
            OAuth::refresh_token(TokenUrl::Config("/token_url".to_owned()))
                .scopes_from("/scopes")
                .client_auth_from("/client_auth"),
        )
        .sync(
            Sync::new("contacts", nothing)
                .model("Contact")
                .describe("d")
                .every("1h"),
        )
        .sync(
            Sync::new("all", nothing)
                .models(["Contact", "Company"])
                .cron("0 6 * * 1-5", "UTC"),
        )
        .sync(Sync::each("/models", nothing))
        .action(
            Action::new("create", echo)
                .describe("d")
                .model("Contact")
                .input(r#"{"type":"object"}"#)
                .output(json!({})),
        )
        .model(
            Model::new("Contact")
                .describe("a person")
                .schema(json!({ "type": "object" })),
        )
        .on_event("connection-removed", |_, _: Value| async { Ok(()) })
        .check(|_| async { Ok(()) });
    assert_eq!(
        manifest(&plugin),
        json!({
            "manifest": 1,
            "name": "demo-crm",
            "version": "0.1.0",
            "description": "Contacts \"and\" companies",
            "sdk": concat!("tidegate-sdk ", env!("CARGO_PKG_VERSION")),
            "syncs": [
                {
                    "name": "contacts", "description": "d", "models": ["Contact"],
                    "schedule": { "every": "1h" }
                },
                {
                    "name": "all", "models": ["Contact", "Company"],
                    "schedule": { "cron": "0 6 * * 1-5", "timezone": "UTC" }
                },
                { "name": "*", "models": ["*"], "each": "/models" }
            ],
            "actions": [{
                "name": "create", "description": "d", "models": ["Contact"],
                "input": { "type": "object" }, "output": {}
            }],
            "models": [
                { "name": "Contact", "description": "a person", "schema": { "type": "object" } },
                { "name": "Company" }
            ],
            "events": ["connection-check", "connection-removed"],
            "capabilities": {
                "hosts": ["base-url"],
                "feeds": ["crm/Contact"],
                "metadata_write": true,
                "limits": { "memory_bytes": 67_108_864 }
            },
            "config": { "type": "object", "properties": {} },
            "auth": [
                { "kind": "bearer", "token": "token" },
                { "kind": "basic", "username": "user", "password": "password" },
                { "kind": "header", "name": "X-Api-Key", "value": "token", "prefix": "Token " },
                {
                    "kind": "header", "value": "token",
                    "name": { "config": "/header", "default": "X-Api-Key" }
                },
                { "kind": "query", "name": "api_key", "value": "token" },
                { "kind": "template", "headers": {"X-Key": "Key {key}:{app}"}, "query": {"sig": "{key}"} },
                {
                    "kind": "oauth2-client-credentials", "token_url": "https://id.example/token",
                    "client_id": "client_id", "client_secret": "client_secret",
                    "scopes": ["read", "write"], "client_auth": "body"
                },
                {
                    "kind": "oauth2-refresh-token", "token_url": { "config": "/token_url" },
                    "client_id": "client_id", "client_secret": "client_secret",
                    "refresh_token": "refresh_token", "access_token": "access_token",
                    "scopes": { "config": "/scopes" }, "client_auth": { "config": "/client_auth" }
                }
            ]
        })
    );
}

#[test]
fn of_a_plugin_with_nothing() {
    let expected = json!({
        "manifest": 1, "name": "p", "version": "0.1.0",
        "sdk": concat!("tidegate-sdk ", env!("CARGO_PKG_VERSION")),
        "syncs": [], "actions": [], "models": [], "events": [], "auth": [],
        "capabilities": { "hosts": [], "feeds": [], "metadata_write": false, "limits": {} }
    });
    assert_eq!(manifest(&Plugin::new("p", "0.1.0")), expected);
}

#[test]
fn a_model_is_listed_once_with_all_that_is_said_of_it() {
    let plugin = Plugin::new("p", "0.1.0")
        .sync(Sync::new("a", nothing).model("M"))
        .sync(Sync::new("b", nothing).model(Model::new("M").schema("{}")))
        .model(Model::new("M").describe("d"));
    let models = json!([{ "name": "M", "description": "d", "schema": {} }]);
    assert_eq!(manifest(&plugin)["models"], models);
}
