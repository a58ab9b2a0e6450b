//! Requests one of everything that an operator can grant, and does nothing: what a deploy advises for it is tried.

use tidegate_sdk::prelude::*;
use tidegate_sdk::{OAuth, TokenUrl};

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .host("https://*")
        .host("https://*.example.com")
        .host("https://*:8443")
        .host("http://127.0.0.1:9")
        .host("http://10.1.0.0/16:8080")
        .feed("crm/Contact")
        .feed("config")
        .metadata_write()
        .limit("memory_bytes", 1 << 30)
        .limit("cpu_ms", 7_200_000)
        .auth(OAuth::client_credentials("https://id.example.com/token"))
        .auth(OAuth::refresh_token(TokenUrl::Config(
            "/token_url".to_owned(),
        )))
        .sync(Sync::new("nothing", nothing).model("Nothing").every("1h"))
}

async fn nothing(_cx: Cx) -> Result<()> {
    Ok(())
}

tidegate_sdk::export!(plugin);
