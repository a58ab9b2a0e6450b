//! Tokens are bought when they are needed, once, kept over processes, and nowhere to be read.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{SYNC, adding, connect, deployed, given};
use crate::support::cli::Finished;
use crate::support::oidc::{Oidc, secret};
use crate::support::server::{Reply, Server};
use crate::support::tap::Tap;

#[test]
fn every_kind_of_client_gets_tokens_and_keeps_them() {
    let Some(oidc) = Oidc::start("kinds") else {
        return;
    };
    let origin = oidc.origin();
    let tidegate = deployed(&origin, &origin);
    let url = format!("{origin}/token");
    let refresh = |client| oidc.issue(client);
    let (public, body) = (refresh("client-public"), refresh("client-body"));
    let [secret_1, secret_body] = ["client-1", "client-body"].map(secret);
    connect(&tidegate, &oidc, "client-0", &url);
    // (client, its secrets beside the id, how it shows who it is)
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let rows: [Row<'_>; 3] = [
        ("client-1", &[("client_secret", &secret_1)], "basic"),
        (
            "client-body",
            &[("client_secret", &secret_body), ("refresh_token", &body)],
            "body",
        ),
        ("client-public", &[("refresh_token", &public)], "basic"),
    ];
    for (client, secrets, how) in rows {
        let auth = json!({"token_url": url, "client_auth": how});
        let all = [&[("client_id", client)], secrets].concat();
        given(adding(&tidegate, client, &origin, &url), &all)
            .words(&format!("--config auth={auth}"))
            .ok();
    }
    for client in ["client-0", "client-1", "client-body", "client-public"] {
        // Two processes: the second finds what the first has stored.
        for _ in 0..2 {
            tidegate.sync_ok(SYNC, client);
        }
        let counted = oidc.counted(client);
        assert_eq!(
            (counted.given, counted.refused, counted.let_in),
            (1, 0, 2),
            "{client}"
        );
    }
    // Another revision, and nothing else that shows.
    let shown = tidegate.cmd("connections show crm client-0 --json").ok();
    let shown = shown.json();
    assert_eq!(
        shown["secrets"],
        json!(["client_id", "client_secret", "refresh_token"])
    );
    assert_eq!(
        (&shown["revision"], &shown["auth_failed"]),
        (&json!(1), &json!(null))
    );
}

#[test]
fn a_401_forces_one_renewal_also_for_what_is_not_idempotent() {
    let Some(oidc) = Oidc::start("forced") else {
        return;
    };
    let origin = oidc.origin();
    let tidegate = deployed(&origin, &origin);
    connect(&tidegate, &oidc, "client-2", &format!("{origin}/token"));
    tidegate.sync_ok(SYNC, "client-2");
    oidc.revoke("client-2", "AccessToken");
    tidegate.sync_ok(SYNC, "client-2");
    assert_eq!(oidc.counted("client-2").given, 2);

    oidc.revoke("client-2", "AccessToken");
    let sent = tidegate
        .cmd("request crm client-2 POST items --body {}")
        .ok();
    assert!(sent.stdout.contains("Ada"), "{}", sent.stdout);
    assert_eq!(oidc.counted("client-2").given, 3);
    // A token that the operator brought is used until it is refused.
    given(
        tidegate.cmd("connections update crm client-2"),
        &[("access_token", "stale")],
    )
    .ok();
    tidegate.sync_ok(SYNC, "client-2");
    assert_eq!(oidc.counted("client-2").given, 4);
}

#[test]
fn no_token_is_to_be_read_anywhere() {
    let Some(oidc) = Oidc::start("canary") else {
        return;
    };
    let tap = Tap::before(oidc.address());
    let origin = tap.origin();
    let tidegate = deployed(&oidc.origin(), &origin);
    let (first, own) = (oidc.issue("client-3"), secret("client-3"));
    let secrets = [
        ("client_id", "client-3"),
        ("client_secret", own.as_str()),
        ("refresh_token", &first),
        ("access_token", "ACCESS-canary-8f14e45f"),
    ];
    let url = format!("{origin}/token");
    given(adding(&tidegate, "acme", &oidc.origin(), &url), &secrets).ok();
    let cassette = tidegate.data().join("run.cassette");
    let mut said: Vec<Finished> = vec![
        // Refused at first, so that a token comes in the middle of the run.
        tidegate
            .cmd("run crm/Item --connection acme --json")
            .words("--record")
            .arg(&cassette)
            .ok(),
    ];
    assert!(cassette.is_file());
    for words in [
        "connections show crm acme --json",
        "connections show crm acme",
        "connections list crm --json",
        "connections test crm acme --json",
        "integrations --json",
        "runs --json",
        "request crm acme GET items",
        "data export",
    ] {
        said.push(tidegate.cmd(words).ok());
    }

    // What the server has given, as it gave it.
    let tokens = tap.answered();
    let field = |name: &str| {
        let given = tokens.iter().filter_map(|answer| answer[name].as_str());
        given.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut canaries = vec![own, first, "ACCESS-canary-8f14e45f".to_owned()];
    let (access, refresh) = (field("access_token"), field("refresh_token"));
    // A slow machine may need a second one: they live for 20 seconds.
    assert!(!access.is_empty() && !refresh.is_empty(), "{tokens:?}");
    canaries.extend(access.into_iter().chain(refresh));
    // An export holds what is sealed, in base64, and no clear text.
    for canary in &canaries {
        for finished in &said {
            assert!(!finished.stdout.contains(canary), "{}", finished.stdout);
            assert!(!finished.stderr.contains(canary), "{}", finished.stderr);
        }
    }
    let canaries: Vec<&str> = canaries.iter().map(String::as_str).collect();
    assert!(search(&tidegate.data(), &canaries) > 5);
}

#[test]
fn a_token_that_an_api_repeats_is_in_no_cassette() {
    const BOUGHT: &str = "BOUGHT-canary-45c48cce";
    let server = Server::start(|request| match request.path() {
        "/token" => Reply::json(&json!({"access_token": BOUGHT, "token_type": "bearer"})),
        _ => Reply::json(&json!([{"id": "a", "you": request.header("authorization")}])),
    });
    let origin = server.origin();
    let tidegate = deployed(&origin, &origin);
    let secrets = [
        ("client_id", "me"),
        ("client_secret", "SECRET-canary-d3d94468"),
    ];
    let url = format!("{origin}/token");
    given(adding(&tidegate, "acme", &origin, &url), &secrets).ok();
    let cassette = tidegate.data().join("run.cassette");
    let run = tidegate.cmd("run crm/Item --connection acme --record");
    run.arg(&cassette).ok();
    let recorded = fs::read_to_string(&cassette).unwrap();
    assert!(recorded.contains("Bearer [secret]"), "{recorded}");
    let requested = tidegate.cmd("request crm acme GET items").ok().stdout;
    assert!(requested.contains("Bearer [secret]"), "{requested}");
    for shown in [recorded, requested] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

/// Search every file below for texts that must not be there; how many files there are.
#[track_caller]
fn search(folder: &Path, canaries: &[&str]) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += search(&path, canaries);
            continue;
        }
        files += 1;
        let bytes = fs::read(&path).unwrap();
        for canary in canaries {
            let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
            for form in [*canary, &hex] {
                let found = bytes
                    .windows(form.len())
                    .any(|part| part == form.as_bytes());
                assert!(!found, "{} holds {form}", path.display());
            }
        }
    }
    files
}
