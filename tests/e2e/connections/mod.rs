//! `tidegate connections` and `tidegate keys`: customers' accounts, thousands of them, and what
//! their credentials are sealed under.

mod changing;
mod checking;
mod importing;
mod keys;
mod removing;

use crate::support::cli::{Cmd, Tidegate};
use crate::support::crm::reply;
use crate::support::plugins;
use crate::support::server::{Reply, Server};

const SECRET: &str = "canary-9f86d081884c7d65";

/// Accepts the secret and nothing else.
fn server() -> Server {
    Server::start(|request| match request.header("authorization") {
        Some(value) if value == format!("Bearer {SECRET}") => reply(&[], None),
        _ => Reply::text("who are you?").with_status(401),
    })
}

/// The demo's plugin as `crm`.
fn deployed(server: &Server) -> Tidegate {
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate
}

/// `connections WORDS`, with a variable that holds the secret.
fn connections(tidegate: &Tidegate, words: &str) -> Cmd {
    tidegate
        .cmd(&format!("connections {words}"))
        .env("TIDE_SECRET", SECRET)
}

/// Add a connection with the secret.
#[track_caller]
fn add(tidegate: &Tidegate, server: &Server, name: &str) {
    let words = format!(
        "add crm {name} --base-url {} --secret token=env:TIDE_SECRET",
        server.origin()
    );
    connections(tidegate, &words).ok();
}

/// Its credentials can be opened, and are the right ones.
#[track_caller]
fn expect_works(tidegate: &Tidegate, name: &str) {
    let tested = connections(tidegate, &format!("test crm {name} --json")).ok();
    assert_eq!(tested.json()["result"], "accepted");
}
