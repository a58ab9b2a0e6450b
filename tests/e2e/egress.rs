//! What a plugin may reach: nothing that is not granted, and each refusal names the grant.

use crate::support::cli::{INVALID, RUN_FAILED, Tidegate};
use crate::support::crm::{MODEL, contacts, reply};
use crate::support::plugins;
use crate::support::server::{Reply, Server};

/// Deploy the demo's plugin with these grants, connect it, and run it.
fn run(grants: &str, origin: &str) -> (Tidegate, crate::support::cli::Finished) {
    let tidegate = Tidegate::new();
    tidegate
        .cmd("deploy --as crm --yes")
        .words(grants)
        .arg(plugins::demo_crm())
        .ok();
    tidegate.connect("crm", "acme", origin);
    let finished = tidegate.sync("crm/contacts", "acme");
    (tidegate, finished)
}

/// The run was denied: the operator's to change, with the flag that would do it.
#[track_caller]
fn expect_denied(finished: &crate::support::cli::Finished, parts: &[&str]) {
    expect_denied_to(finished, "operator", parts);
}

#[track_caller]
fn expect_denied_to(finished: &crate::support::cli::Finished, blame: &str, parts: &[&str]) {
    finished.expect_refusal(RUN_FAILED, parts);
    let run = finished.json();
    assert_eq!(run["failure"]["class"], "config", "{run}");
    assert_eq!(run["failure"]["blame"], blame, "{run}");
    assert_eq!(run["failure"]["code"], "http-denied", "{run}");
}

#[test]
fn an_ungranted_host_is_listed_at_the_deploy_and_denied_in_the_run() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    let private = "--allow-private 127.0.0.0/8";
    let deployed = tidegate
        .cmd("deploy --as crm --yes")
        .words(private)
        .arg(plugins::demo_crm())
        .ok();
    assert!(
        deployed.stdout.contains("not granted  --allow-host"),
        "{}",
        deployed.stdout
    );
    let json = tidegate
        .cmd("deploy --as crm --yes --json")
        .arg(plugins::demo_crm())
        .ok()
        .json();
    assert!(
        json["missing"][0]
            .as_str()
            .unwrap()
            .starts_with("--allow-host"),
        "{json}"
    );

    tidegate.connect("crm", "acme", &server.origin());
    let denied = tidegate.sync("crm/contacts", "acme");
    let grant = format!("--allow-host {}", server.origin());
    expect_denied(&denied, &[&grant]);
    assert!(
        server.requests().is_empty(),
        "the request went out all the same"
    );

    // Given just what the message says, it works.
    tidegate
        .cmd("deploy --as crm --yes --allow-host")
        .arg(server.origin())
        .arg(plugins::demo_crm())
        .ok();
    tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 3);
}

#[test]
fn loopback_needs_a_grant_of_its_own() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let by_name = server.origin().replace("127.0.0.1", "localhost");
    for origin in [server.origin(), by_name] {
        let (tidegate, denied) = run(&format!("--allow-host {origin}"), &origin);
        expect_denied(&denied, &["--allow-private 127.0.0"]);
        assert!(
            server.requests().is_empty(),
            "the request went out all the same"
        );
        assert!(tidegate.feed(MODEL, "acme", None).is_empty());
    }
}

#[test]
fn another_port_is_another_origin() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let grants = "--allow-host http://127.0.0.1:9 --allow-private 127.0.0.1";
    let (_, denied) = run(grants, &server.origin());
    expect_denied(&denied, &[&format!("--allow-host {}", server.origin())]);
    assert!(server.requests().is_empty());
}

#[test]
fn a_redirect_passes_the_gate_again() {
    let other = Server::start(|_| reply(&contacts(0..3, 1), None));
    let target = format!("{}/contacts", other.origin());
    let server = Server::start(move |_| Reply::status(302).header("Location", &target));
    let grants = format!(
        "--allow-host {} --allow-private 127.0.0.0/8",
        server.origin()
    );
    let (_, denied) = run(&grants, &server.origin());
    // The manifest does not ask for the other origin.
    expect_denied_to(&denied, "guest", &[&other.origin()]);
    assert_eq!(server.requests().len(), 1);
    assert!(
        other.requests().is_empty(),
        "the redirect was followed all the same"
    );
}

#[test]
fn a_redirect_within_the_origin_is_followed() {
    let server = Server::start(|request| match request.path() {
        "/contacts" => Reply::status(307).header("Location", "/v2/contacts"),
        _ => reply(&contacts(0..3, 1), None),
    });
    let grants = format!(
        "--allow-host {} --allow-private 127.0.0.0/8",
        server.origin()
    );
    let (tidegate, finished) = run(&grants, &server.origin());
    finished.expect_code(0);
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 3);
}

#[test]
fn proxy_variables_lead_nowhere() {
    let proxy = Server::start(|_| Reply::status(502));
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    tidegate.deploy(&plugins::demo_crm(), "crm", &server.origin());
    tidegate.connect("crm", "acme", &server.origin());
    let mut cmd = tidegate.cmd("run crm/contacts --connection acme");
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        cmd = cmd.env(variable, proxy.origin());
    }
    cmd.ok();
    assert!(proxy.requests().is_empty());
}

#[test]
fn grants_that_make_no_sense() {
    // (flag, what is said about it)
    let rows = [
        ("--allow-host api.example.com", "--allow-host"),
        ("--allow-host ftp://example.com", "--allow-host"),
        ("--allow-host https://user@example.com", "--allow-host"),
        ("--allow-host https://example.com/path", "--allow-host"),
        ("--allow-private 0.0.0.0/0", "would open every address"),
        ("--allow-private lots", "--allow-private"),
        ("--allow-feed crm", "--allow-feed"),
        ("--limit memory_bytes", "NAME=VALUE"),
        ("--limit memory_bytes=lots", "whole number"),
        ("--limit no_such_limit=1", "no_such_limit"),
    ];
    let tidegate = Tidegate::new();
    for (flag, says) in rows {
        tidegate
            .cmd("deploy --as crm --yes")
            .words(flag)
            .arg(plugins::demo_crm())
            .refused(INVALID, &[says]);
    }
    assert!(tidegate.cmd("integrations --json").ok().lines().is_empty());
}
