//! What is copied into this crate so that it stands alone: the WIT, the bindings made of it, and
//! the versions of dependencies.
//!
//! The bindings are checked in because generating them takes an author longer than compiling all
//! the rest. After a change of `wit/`: `TIDEGATE_BLESS=1 cargo test -p tidegate-sdk --test contract`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where the project is, unless this crate was copied out of it.
fn project() -> Option<PathBuf> {
    let project = here().join("..");
    project.join("wit/plugin.wit").exists().then_some(project)
}

fn blessing() -> bool {
    std::env::var_os("TIDEGATE_BLESS").is_some()
}

fn files_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_wit_is_the_projects() {
    let Some(project) = project() else { return };
    let (theirs, ours) = (project.join("wit"), here().join("wit"));
    if blessing() {
        for name in files_of(&theirs) {
            fs::copy(theirs.join(&name), ours.join(&name)).unwrap();
        }
    }
    assert_eq!(files_of(&theirs), files_of(&ours));
    for name in files_of(&theirs) {
        let same = fs::read(theirs.join(&name)).unwrap() == fs::read(ours.join(&name)).unwrap();
        assert!(same, "plugin-sdk/wit/{name} is not the project's: copy it");
    }
}

#[test]
fn the_bindings_are_of_the_wit() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(here().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        pub_export_macro: true,
        export_macro_name: Some("export_plugin".to_owned()),
        ..Default::default()
    };
    let mut files = Files::default();
    let mut generator: Box<dyn wit_bindgen_core::WorldGenerator> = Box::new(options.build());
    generator.generate(&mut resolve, world, &mut files).unwrap();
    let (_, generated) = files.iter().next().unwrap();
    let generated = String::from_utf8(generated.to_vec()).unwrap();
    let path = here().join("src/host/bindings.rs");
    if blessing() {
        fs::write(&path, &generated).unwrap();
    }
    let same = fs::read_to_string(&path).unwrap() == generated;
    assert!(
        same,
        "src/host/bindings.rs is not what the WIT gives: see the top of this test"
    );
}

/// `name = …` of each dependency in a manifest's table, as text without its comment.
fn table(manifest: &str, table: &str) -> Vec<(String, String)> {
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split('#').next()?.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn version(requirement: &str) -> &str {
    requirement
        .split("version = ")
        .last()
        .unwrap()
        .split('"')
        .nth(1)
        .unwrap()
}

#[test]
fn the_versions_are_the_workspaces() {
    let Some(project) = project() else { return };
    let Ok(workspace) = fs::read_to_string(project.join("Cargo.toml")) else {
        return;
    };
    let workspace = table(&workspace, "[workspace.dependencies]");
    let wasm = "[target.'cfg(target_arch = \"wasm32\")'.dependencies]";
    let native = "[target.'cfg(not(target_arch = \"wasm32\"))'.dependencies]";
    let mut compared = 0;
    for manifest in ["Cargo.toml", "../host/rules/Cargo.toml"] {
        let ours = fs::read_to_string(here().join(manifest)).unwrap();
        assert!(
            !ours.contains("workspace ="),
            "a copy of this crate has no workspace"
        );
        let tables = ["[dependencies]", wasm, native].map(|name| table(&ours, name));
        for (name, requirement) in tables.concat() {
            let Some((_, theirs)) = workspace.iter().find(|(found, _)| *found == name) else {
                panic!("{name} is not in the workspace's table of dependencies");
            };
            if requirement.contains("path =") {
                continue;
            }
            assert_eq!(version(&requirement), version(theirs), "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 14, "the tables were not found");
}
