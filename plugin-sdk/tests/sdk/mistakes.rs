//! What the compiler says of the usual mistakes: each file of `tests/mistakes` is one, and its third line begins what the
//! compiler has to say of it.
//!
//! `rustc` is called on each file with the library that these tests link, as nothing is to be built for it:
//! `trybuild` would compile the SDK and all it depends on once more, for minutes of CPU time against a second.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What a person reads of one mistake, at most.
const LINES_MAX: usize = 30;

/// The newest library of the SDK beside this test: cargo has built it before the test.
fn library(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libtidegate_sdk-") && name.ends_with(".rlib")
    };
    let built = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    files.filter(is_ours).max_by_key(built).unwrap()
}

/// What the compiler says of a file.
fn said(library: &Path, file: &Path) -> String {
    let folder = library.parent().unwrap();
    let out = env::temp_dir().join(format!("tidegate-mistake-{}", std::process::id()));
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(compiler)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .arg("-o")
        .arg(&out)
        .arg("--extern")
        .arg(format!("tidegate_sdk={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", folder.display()))
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
    let is_compiled = compiled.status.success();
    drop(fs::remove_file(&out));
    assert!(!is_compiled, "{} compiles: {said}", file.display());
    said
}

#[test]
fn the_compiler_says_what_is_wrong() {
    let exe = env::current_exe().unwrap();
    let library = library(exe.parent().unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        let lines = code.lines().skip(2);
        let expected: Vec<&str> = lines.map_while(|line| line.strip_prefix("// ")).collect();
        assert!(!expected.is_empty(), "{}", file.display());
        let said = said(&library, &file);
        for line in &expected {
            assert!(
                said.contains(line),
                "{}: no `{line}` in\n{said}",
                file.display()
            );
        }
        let errors = |text: &str| {
            text.lines()
                .filter(|line| line.starts_with("error"))
                .count()
        };
        let wanted = expected
            .iter()
            .filter(|line| line.starts_with("error"))
            .count();
        // The last one counts the others.
        assert_eq!(errors(&said), wanted + 1, "{}:\n{said}", file.display());
        let lines = said.lines().count();
        assert!(
            lines <= LINES_MAX * wanted,
            "{}: {lines} lines:\n{said}",
            file.display()
        );
    }
}
