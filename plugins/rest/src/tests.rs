//! The examples against small APIs of five styles; and everything that can be wrong.

mod actions;
mod api;
mod bad;
mod churn;
mod config;
mod dialects;
mod edges;
mod examples;
mod histories;
mod lists;
mod naive;
mod nothing;
mod overlap;
mod records;
mod silent;
mod versions;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::FakeHost;

/// A host whose connection has this config.
fn host(config: Value) -> FakeHost {
    FakeHost::new()
        .base_url("https://api.example.com/base")
        .config(config)
}

/// The config of `examples/NAME.json`.
fn example(name: &str) -> Value {
    let text = match name {
        "cursor" => include_str!("../examples/cursor.json"),
        "kinto" => include_str!("../examples/kinto.json"),
        "link" => include_str!("../examples/link.json"),
        "next_url" => include_str!("../examples/next_url.json"),
        "offset" => include_str!("../examples/offset.json"),
        "page" => include_str!("../examples/page.json"),
        "stripe" => include_str!("../examples/stripe.json"),
        _ => panic!("there is no example {name}"),
    };
    serde_json::from_str(text).unwrap()
}

/// A host with one model, `M`, at `/m`, and further keys.
fn model(keys: Value) -> FakeHost {
    let Value::Object(mut model) = keys else {
        panic!("the keys of a model are an object");
    };
    model.insert("path".to_owned(), json!("/m"));
    host(json!({ "models": { "M": model } }))
}

fn pages() -> Value {
    json!({ "style": "page", "page_size": 2, "page_size_parameter": "size" })
}

fn records(ids: std::ops::RangeInclusive<u32>) -> Value {
    ids.map(|id| json!({ "id": id })).collect()
}

fn stored(host: &FakeHost) -> Vec<String> {
    host.records("M").into_keys().collect()
}
