//! Files that are no plugins of ours, and components that are deployed wrongly: each is refused
//! with words for its author, and changes nothing.

use std::path::Path;

use tempfile::TempDir;

use crate::support::cli::{INVALID, NOT_FOUND, PLUGIN, Tidegate, tidegate};
use crate::support::crm::{MODEL, Source, contacts, reply};
use crate::support::server::Server;
use crate::support::{plugins, root};

/// The version of the contract, as it stands in `wit/plugin.wit`.
fn contract() -> String {
    let wit = std::fs::read_to_string(root().join("wit/plugin.wit")).unwrap();
    let line = wit
        .lines()
        .find(|line| line.starts_with("package tidegate:plugin@"))
        .unwrap();
    line.split(['@', ';']).nth(1).unwrap().to_owned()
}

/// A file of these bytes is refused by `inspect` and `deploy` alike, and what is deployed,
/// connected, stored and listed stays as it was.
fn refused(name: &str, bytes: &[u8], parts: &[&str]) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    tidegate("inspect").arg(&file).refused(PLUGIN, parts);
    refused_deploy(&file, PLUGIN, parts);
}

fn refused_deploy(file: &Path, code: i32, parts: &[&str]) {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let state = |tidegate: &Tidegate| {
        (
            tidegate.cmd("integrations --json").ok().lines(),
            tidegate.cmd("connections list crm --json").ok().lines(),
            tidegate.feed(MODEL, "acme", None),
            tidegate.runs(),
        )
    };
    let before = state(&tidegate);
    tidegate
        .cmd("deploy --as crm --yes")
        .arg(file)
        .refused(code, parts);
    assert_eq!(state(&tidegate), before);
    // It still works.
    tidegate.sync_ok("crm/contacts", "acme");
}

#[test]
fn not_wasm() {
    refused(
        "script.sh",
        b"#!/bin/sh\necho hello\n",
        &["not WebAssembly", "#!/bin/sh"],
    );
}

#[test]
fn an_empty_file() {
    refused("empty.wasm", b"", &["the file is empty"]);
}

#[test]
fn a_core_module() {
    refused(
        "core.wasm",
        b"\0asm\x01\0\0\0",
        &["core WebAssembly module", "wasm32-wasip2", "tidegate build"],
    );
}

#[test]
fn a_component_cut_off() {
    let bytes = std::fs::read(plugins::hello()).unwrap();
    refused(
        "half.wasm",
        &bytes[..bytes.len() / 2],
        &["damaged or cut off"],
    );
}

#[test]
fn a_component_of_another_world() {
    // `build` compiles it, and refuses it too.
    let folder = root().join("tests/plugins/other-world");
    let parts = ["another world", "wasi:cli/stdout", "tidegate:plugin"];
    let hello = plugins::hello();
    let build = tidegate("build").arg(folder).compiles();
    build.refused(PLUGIN, &parts);
    let bytes = std::fs::read(hello.with_file_name("other_world.wasm")).unwrap();
    refused("greeter.wasm", &bytes, &parts);
}

#[test]
fn another_version_of_the_contract() {
    let ours = contract();
    // (the plugin's, what it is told to do)
    for (theirs, advice) in [
        ("9.9.9", "upgrade the host"),
        ("0.0.1", "rebuild the plugin"),
    ] {
        let old = format!("@{ours}");
        let bytes = plugins::patched(&plugins::hello(), &old, &format!("@{theirs}"));
        let (plugin, host) = (
            format!("tidegate:plugin@{theirs}"),
            format!("tidegate:plugin@{ours}"),
        );
        refused("version.wasm", &bytes, &[&plugin, &host, advice]);
    }
}

#[test]
fn an_import_that_no_plugin_is_given() {
    // As long as wasi:cli/environment, so that it can be put in its place.
    let bytes = plugins::patched(
        &plugins::hello(),
        "wasi:cli/environment@",
        "wasi:cli/terminators@",
    );
    refused(
        "imports.wasm",
        &bytes,
        &["wasi:cli/terminators", "no plugin is given"],
    );
}

#[test]
fn a_missing_file() {
    let file = Path::new("no/such/plugin.wasm");
    tidegate("inspect")
        .arg(file)
        .refused(NOT_FOUND, &["no/such/plugin.wasm", "no such file"]);
    refused_deploy(
        file,
        NOT_FOUND,
        &["no/such/plugin.wasm", "no such file", "tidegate build"],
    );
}

#[test]
fn a_folder() {
    let folder = root().join("plugins/hello");
    let finished = tidegate("inspect")
        .arg(&folder)
        .refused(INVALID, &["folder", "tidegate build"]);
    assert_eq!(finished.stdout, "");
    let finished = Tidegate::new().cmd("deploy --yes").arg(&folder).finish();
    assert_ne!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("plugins/hello"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_manifest_that_panics_shows_what_was_printed() {
    tidegate("build")
        .arg(root().join("tests/plugins/unready"))
        .compiles()
        .refused(
            PLUGIN,
            &[
                "it panicked or aborted",
                "looking for the settings",
                "the settings are there",
            ],
        );
}
