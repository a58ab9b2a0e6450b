//! What a plugin author does: `new`, `cargo test`, `build`, `inspect`, deploy and run, outside of
//! the repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::cli::{CONFLICT, Cmd, INVALID, NOT_FOUND, PLUGIN, Tidegate, tidegate};
use crate::support::server::{Reply, Server};
use crate::support::{kept, plugins};

/// The target directory of the checkout, where a component's dependencies are compiled already.
fn shared_target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A command on crates outside of the checkout, compiling what it needs.
fn compiling(words: &str) -> Cmd {
    // Builds go one at a time until the target is installed.
    plugins::hello();
    tidegate(words)
        .compiles()
        .env("CARGO_TARGET_DIR", shared_target())
}

#[test]
fn new_test_build_deploy_run() {
    let folder = TempDir::new().unwrap();
    let written = tidegate("new my-sync").dir(folder.path()).ok();
    for part in ["src/lib.rs", "cargo test", "cd my-sync"] {
        assert!(
            written.stdout.contains(part),
            "wanted {part:?} in {}",
            written.stdout
        );
    }
    let plugin = folder.path().join("my-sync");

    let mut cargo = Command::new("cargo");
    cargo.arg("test");
    // Natively nothing is shared: the checkout's profile is another one.
    let target = kept("author");
    let tested = Cmd::new(cargo)
        .compiles()
        .dir(&plugin)
        .env("CARGO_TARGET_DIR", target)
        .ok();
    assert!(tested.stdout.contains("1 passed"), "{}", tested.stdout);

    let shown = compiling("build").dir(&plugin).ok().stdout;
    for part in [
        "my-sync 0.1.0",
        "items -> Item",
        "host base-url",
        "sha256:",
        "bytes",
        "tidegate:plugin@",
        "deploy",
    ] {
        assert!(shown.contains(part), "wanted {part:?} in {shown}");
    }
    let listing = compiling("build --json").dir(&plugin).ok().json();
    assert_eq!(
        listing["manifest"]["syncs"][0]["name"], "items",
        "{listing}"
    );
    let file = listing["file"].as_str().unwrap();
    assert_eq!(tidegate("inspect --json").arg(file).ok().json(), listing);

    // And it works.
    let server = Server::start(|request| {
        assert_eq!(request.path(), "/items");
        let items = serde_json::json!([{"id": "a", "updated_at": "2026-01-01"}]);
        Reply::json(&serde_json::json!({"items": items, "next_cursor": null}))
    });
    let tidegate = Tidegate::new();
    tidegate.deploy(Path::new(file), "my-sync", &server.origin());
    tidegate.connect("my-sync", "acme", &server.origin());
    tidegate.sync_ok("my-sync/items", "acme");
    assert_eq!(tidegate.feed("my-sync/Item", "acme", None).len(), 1);
}

#[test]
fn new_refuses_what_would_not_work() {
    let folder = TempDir::new().unwrap();
    let new = |words: &str| tidegate(words).dir(folder.path());
    for name in ["2sync", "async", "a.b", "a/b", "serde"] {
        new(&format!("new {name}")).refused(INVALID, &["name"]);
    }
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("taken/notes.txt"), "mine").unwrap();
    new("new taken").refused(CONFLICT, &["taken", "not empty"]);
    new("new fine --sdk /no/such/sdk").refused(INVALID, &["--sdk", "plugin-sdk"]);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "something was written all the same"
    );
}

#[test]
fn build_says_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let build = |path: &Path| compiling("build").arg(path);
    build(&folder.path().join("nothing")).refused(NOT_FOUND, &["nothing"]);
    build(folder.path()).refused(NOT_FOUND, &["Cargo.toml", "tidegate new"]);
    build(crate::support::root()).refused(PLUGIN, &["crate-type"]);

    tidegate("new broken").dir(folder.path()).ok();
    let broken = folder.path().join("broken");
    let code = broken.join("src/lib.rs");
    let text = fs::read_to_string(&code).unwrap();
    fs::write(
        &code,
        text.replace(
            "fn plugin() -> Plugin {",
            "fn plugin() -> Plugin { let x: u8 = \"no\";",
        ),
    )
    .unwrap();
    build(&broken).refused(PLUGIN, &["mismatched types", "does not compile"]);
}

#[test]
fn inspect_shows_every_bundled_plugin() {
    for (component, name, parts) in [
        (plugins::hello(), "hello", &["todos -> Todo"][..]),
        (
            plugins::demo_crm(),
            "demo-crm",
            &[
                "contacts -> Contact",
                "companies -> Company",
                "bearer",
                "every 1h",
            ],
        ),
        (
            plugins::kinto(),
            "kinto",
            &["records -> Record", "basic", "bucket"],
        ),
        (
            plugins::rest(),
            "rest",
            &["one for each key of the config's /models"],
        ),
        (
            plugins::component("plugins/github-issues"),
            "github-issues",
            &["Issue"],
        ),
    ] {
        let shown = tidegate("inspect").arg(&component).ok().stdout;
        assert!(shown.starts_with(name), "{shown}");
        for part in parts {
            assert!(shown.contains(part), "wanted {part:?} in {shown}");
        }
        let listing = tidegate("inspect --json").arg(&component).ok().json();
        assert_eq!(listing["manifest"]["name"], name, "{listing}");
        let limits = listing["limits"].as_object().unwrap();
        assert!(limits.len() > 20, "{listing}");
        for limit in limits.keys() {
            assert!(shown.contains(limit), "wanted {limit} in {shown}");
        }
        assert_eq!(listing["bytes"], fs::metadata(&component).unwrap().len());
    }
}
