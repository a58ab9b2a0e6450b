//! What a command advises is done by doing it: run through a shell as it is printed.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::advice::advised;
use crate::support::cli::{Cmd, NOT_FOUND, Tidegate};
use crate::support::plugins;

/// A line as somebody would paste it.
fn in_shell(tidegate: &Tidegate, folder: &std::path::Path, line: &str) -> Cmd {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line);
    Cmd::new(shell)
        .dir(folder)
        .env("TIDEGATE_DATA", tidegate.data())
}

/// The line that a label stands before.
#[track_caller]
fn line_of<'a>(text: &'a str, label: &str) -> &'a str {
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(label));
    found.unwrap_or_else(|| panic!("no line {label:?} in\n{text}"))
}

#[test]
fn the_grants_that_a_deploy_advises_can_be_given() {
    let tidegate = Tidegate::new();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("it's my plugin's");
    fs::create_dir(&folder).unwrap();
    fs::copy(
        plugins::component("tests/plugins/asks"),
        folder.join("-asks.wasm"),
    )
    .unwrap();

    // Without grants, but with a host and a limit of the operator's own.
    let bare = tidegate
        .cmd("deploy --as all --yes --allow-host https://own.example --limit log_lines=7")
        .arg("--config")
        .arg("region=\"a b\"")
        .arg("./-asks.wasm")
        .dir(&folder)
        .ok();
    let missing: Vec<&str> = bare
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("not granted  "))
        .collect();
    let want = [
        "--allow-any-host",
        "--allow-host 'https://*.example.com'",
        "--allow-host https://HOST:8443",
        "--allow-host http://127.0.0.1:9",
        "--allow-private 127.0.0.1/32",
        "--allow-host http://10.1.0.0/16:8080",
        "--allow-private 10.1.0.0/16",
        "--allow-token-host https://id.example.com",
        "--allow-token-host https://HOST-OF-THE-TOKEN-URL",
        "--allow-feed crm/Contact",
        "--allow-feed INTEGRATION/MODEL",
        "--allow-metadata-write",
        "--limit cpu_ms=7200000",
        "--limit memory_bytes=1073741824",
    ];
    assert_eq!(missing, want, "{}", bare.stdout);

    // Verbatim. What was granted before stays, and nothing is missing any more.
    let line = line_of(&bare.stdout, "grant all    ");
    let again = in_shell(&tidegate, &folder, line).ok();
    assert!(!again.stdout.contains("not granted"), "{}", again.stdout);
    assert!(!again.stdout.contains("grant all"), "{}", again.stdout);
    let listed = tidegate.cmd("integrations --json").ok().json();
    let grants = &listed["grants"];
    let hosts: Vec<&str> = grants["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for host in [
        "https://own.example",
        "https://*",
        "http://10.1.0.0/16:8080",
    ] {
        assert!(hosts.contains(&host), "{host}: {grants}");
    }
    assert_eq!(
        grants["limits"],
        json!({"cpu_ms": 7_200_000, "log_lines": 7, "memory_bytes": 1_073_741_824}),
    );
    assert_eq!(listed["config"], json!({"region": "a b"}), "{listed}");
}

#[test]
fn the_command_that_build_advises_deploys() {
    let tidegate = Tidegate::new();
    let built = crate::support::cli::tidegate("build")
        .arg(crate::support::root().join("tests/plugins/asks"))
        .compiles()
        .ok();
    let lines = advised(&built.stdout);
    let [_] = lines.as_slice() else {
        panic!("one command in\n{}", built.stdout);
    };
    let line = built.stdout.lines().last().unwrap();
    let deployed = in_shell(&tidegate, crate::support::root(), &format!("{line} --yes")).ok();
    assert!(
        !deployed.stdout.contains("not granted"),
        "{}",
        deployed.stdout
    );
}

#[test]
fn a_host_that_a_new_connection_needs_does_not_take_others_away() {
    let tidegate = Tidegate::new();
    tidegate
        .cmd("deploy --as crm --yes --allow-host https://a.example")
        .arg(plugins::hello())
        .ok();
    let added = tidegate
        .cmd("connections add crm acme --base-url https://b.example/v1")
        .ok();
    let [line] = advised(&added.stderr).try_into().unwrap();
    let line = line.replace("FILE", &plugins::hello().display().to_string());
    let words = line.strip_prefix("tidegate ").unwrap();
    tidegate.cmd(words).arg("--yes").ok();
    let grants = tidegate.cmd("integrations --json").ok().json()["grants"]["hosts"].clone();
    assert_eq!(grants, json!(["https://a.example", "https://b.example"]));
}

#[test]
fn what_is_not_there_is_listed_by_the_command_that_the_hint_names() {
    let tidegate = Tidegate::new();
    let id = "01JD3ZB1YDX5W5QF4G2T1E7R9A";
    for words in [
        format!("runs run_{id}"),
        format!("jobs show job_{id}"),
        format!("schedules show sch_{id}"),
        format!("webhooks show ep_{id}"),
        format!("api-keys revoke key_{id}"),
    ] {
        // They open a data directory that is there.
        tidegate.cmd("data check").finish();
        let refused = tidegate.cmd(&words).refused(NOT_FOUND, &["list them with"]);
        let [line] = advised(&refused.stderr).try_into().unwrap();
        tidegate.cmd(line.strip_prefix("tidegate ").unwrap()).ok();
    }
}
