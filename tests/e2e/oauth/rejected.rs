//! Credentials that the token endpoint rejects: the connection is marked, nothing is run for it, and
//! what clears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{SYNC, adding, connect, deployed, given};
use crate::support::cli::{RUN_FAILED, Tidegate};
use crate::support::oidc::Oidc;
use crate::support::server::{Reply, Server};

/// The names of the connections that a listing with these words has.
fn listed(tidegate: &Tidegate, words: &str) -> Vec<String> {
    let lines = tidegate
        .cmd(&format!("connections list crm --json {words}"))
        .ok()
        .lines();
    let name = |line: &serde_json::Value| line["connection"].as_str().unwrap().to_owned();
    lines.iter().map(name).collect()
}

#[test]
fn a_revoked_grant_stops_the_connection_until_it_has_another() {
    let Some(oidc) = Oidc::start("revoked") else {
        return;
    };
    let origin = oidc.origin();
    let tidegate = deployed(&origin, &origin);
    for client in ["client-4", "client-5"] {
        connect(&tidegate, &oidc, client, &format!("{origin}/token"));
        tidegate.sync_ok(SYNC, client);
    }
    for model in ["AccessToken", "RefreshToken"] {
        oidc.revoke("client-4", model);
    }
    let run = tidegate.sync(SYNC, "client-4");
    run.expect_code(RUN_FAILED);
    let run = run.json();
    assert_eq!(run["failure"]["class"], "auth", "{run}");
    let said = run["failure"]["message"].as_str().unwrap();
    assert!(
        said.contains("rejects the credentials: invalid_grant"),
        "{said}"
    );
    assert_eq!(oidc.counted("client-4").refused, 1);

    // Nothing is started any more, and the server is left in peace.
    let runs = tidegate.runs().len();
    let says = [
        "connection crm/client-4 is auth-failed since",
        "invalid_grant",
        "tidegate connections update crm client-4 --secret",
        "tidegate connections test crm client-4",
    ];
    for words in [
        "run crm/Item --connection client-4",
        "request crm client-4 GET items",
    ] {
        tidegate.cmd(words).refused(RUN_FAILED, &says);
    }
    assert_eq!(tidegate.runs().len(), runs);
    assert_eq!(oidc.counted("client-4").refused, 1);
    tidegate.sync_ok(SYNC, "client-5");
    assert_eq!(listed(&tidegate, "--auth-failed"), ["client-4"]);
    assert_eq!(listed(&tidegate, ""), ["client-4", "client-5"]);
    let shown = tidegate.cmd("connections show crm client-4").ok().stdout;
    assert!(shown.contains("auth-failed  2"), "{shown}");

    // A check asks once more, and other changes clear nothing.
    let tested = tidegate
        .cmd("connections test crm client-4 --json")
        .finish();
    tested.expect_refusal(RUN_FAILED, &["does not accept the credentials"]);
    assert_eq!(tested.json()["result"], "credentials");
    assert_eq!(oidc.counted("client-4").refused, 2);
    tidegate
        .cmd("connections update crm client-4 --tag plan=pro")
        .ok();
    tidegate
        .cmd("run crm/Item --connection client-4")
        .refused(RUN_FAILED, &says);

    let again = oidc.issue("client-4");
    given(
        tidegate.cmd("connections update crm client-4"),
        &[("refresh_token", &again)],
    )
    .ok();
    assert!(listed(&tidegate, "--auth-failed").is_empty());
    tidegate.sync_ok(SYNC, "client-4");
}

#[test]
fn a_check_that_works_clears_it() {
    let healed = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&healed);
    let server = Server::start(move |request| match request.path() {
        "/token" if state.load(Ordering::SeqCst) => {
            Reply::json(&json!({"access_token": "t", "token_type": "bearer", "expires_in": 3600}))
        }
        "/token" => Reply::json(&json!({"error": "invalid_client"})).with_status(401),
        _ => Reply::json(&json!([{"id": "a"}])),
    });
    let origin = server.origin();
    let tidegate = deployed(&origin, &origin);
    let secrets = [("client_id", "me"), ("client_secret", "wrong-for-now")];
    let url = format!("{origin}/token");
    given(adding(&tidegate, "acme", &origin, &url), &secrets).ok();
    tidegate.sync(SYNC, "acme").expect_code(RUN_FAILED);
    assert_eq!(listed(&tidegate, "--auth-failed"), ["acme"]);
    healed.store(true, Ordering::SeqCst);
    tidegate.sync(SYNC, "acme").expect_code(RUN_FAILED);
    tidegate.cmd("connections test crm acme").ok();
    assert!(listed(&tidegate, "--auth-failed").is_empty());
    tidegate.sync_ok(SYNC, "acme");
    let asked = server.requests();
    let asked = asked.iter().filter(|request| request.path() == "/token");
    assert_eq!(asked.count(), 2);
}
