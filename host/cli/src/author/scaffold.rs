//! A new plugin crate from the templates.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tidegate_engine::Name;
use tidegate_service::problem::{Kind, Problem, Result};

/// What is written: path in the crate, and template.
const FILES: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        include_str!("../../templates/plugin/Cargo.toml.template"),
    ),
    ("src/lib.rs", include_str!("../../templates/plugin/lib.rs")),
    (
        "README.md",
        include_str!("../../templates/plugin/README.md"),
    ),
    (
        ".gitignore",
        include_str!("../../templates/plugin/gitignore"),
    ),
];

/// Names that cargo or the crate's own code would trip over.
const TAKEN: &[&str] = &[
    "alloc",
    "core",
    "proc-macro",
    "proc_macro",
    "serde",
    "std",
    "test",
    "tidegate-sdk",
    "tidegate_sdk",
];
/// Rust's keywords, those reserved for later included: a crate's name is an identifier.
const KEYWORDS: &[&str] = &[
    "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A name that is good for a cargo package and for an integration.
pub(crate) fn check_name(name: &str) -> Result<()> {
    name.parse::<Name>()?;
    let refused = |reason: &str| {
        Err(
            Problem::invalid(format!("{name:?} can't name a plugin's crate: {reason}"))
                .hint("use a name such as my-sync"),
        )
    };
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return refused("it must start with a letter");
    }
    if name.contains('.') {
        return refused("it has a '.'; letters, digits, '-' and '_' are allowed");
    }
    if TAKEN.contains(&name) {
        return refused("a crate that it needs has that name");
    }
    if KEYWORDS.contains(&name) {
        return refused("it is a word of the Rust language");
    }
    Ok(())
}

/// Write the crate `name` into `folder`, with the SDK at `sdk`. A folder that holds anything is
/// left as it is. Returns the files, relative to the folder.
pub(crate) fn write(name: &str, folder: &Path, sdk: &Path) -> Result<Vec<PathBuf>> {
    check_name(name)?;
    check_folder(folder)?;
    let sdk = sdk.to_str().ok_or_else(|| {
        Problem::invalid(format!(
            "the path of the SDK, {}, is not UTF-8",
            sdk.display()
        ))
        .hint("give --sdk a folder whose path is")
    })?;
    let mut written = Vec::new();
    for (path, template) in FILES {
        let file = folder.join(path);
        create(&file, &render(template, name, sdk)?)
            .map_err(|error| Problem::internal(format!("{}: {error}", file.display())))?;
        written.push(PathBuf::from(path));
    }
    Ok(written)
}

fn check_folder(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Problem::new(
                Kind::Conflict,
                format!("{shown} exists and is not a folder"),
            ));
        }
        Err(error) => return Err(Problem::internal(format!("{shown}: {error}"))),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let message = format!("{shown} exists and is not empty; nothing was written");
    Err(Problem::new(Kind::Conflict, message).hint("give another folder with --path"))
}

fn create(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)?
        .write_all(text.as_bytes())
}

fn render(template: &str, name: &str, sdk: &str) -> Result<String> {
    // What JSON escapes in a string, TOML reads the same way.
    let sdk = serde_json::to_string(sdk).map_err(Problem::internal)?;
    Ok(template.replace("{{name}}", name).replace("{{sdk}}", &sdk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_is_written() {
        for good in ["a", "my-sync", "my_sync", "Sync2"] {
            check_name(good).unwrap();
        }
        for (bad, message) in [
            ("", "not a valid name"),
            ("-x", "not a valid name"),
            ("a b", "not a valid name"),
            ("a/../b", "not a valid name"),
            ("größe", "not a valid name"),
            (&"x".repeat(65), "not a valid name"),
            ("2sync", "start with a letter"),
            ("a.b", "has a '.'"),
            ("serde", "a crate that it needs"),
            ("tidegate-sdk", "a crate that it needs"),
            ("async", "a word of the Rust language"),
        ] {
            let problem = check_name(bad).unwrap_err();
            assert_eq!(problem.kind, Kind::Invalid, "{bad}");
            assert!(problem.message.contains(message), "{bad}: {problem}");
        }
    }

    #[test]
    fn everything_is_filled_in() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/my-sync");
        let written = write("my-sync", &folder, Path::new("/a \"b\"\\c")).unwrap();
        assert_eq!(written.len(), FILES.len());
        for path in &written {
            let text = fs::read_to_string(folder.join(path)).unwrap();
            assert!(
                !text.contains("{{name}}") && !text.contains("{{sdk}}"),
                "{path:?}"
            );
        }
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-sync\"\n"), "{manifest}");
        assert!(manifest.contains(r#"path = "/a \"b\"\\c" }"#), "{manifest}");
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("notes.txt");
        fs::write(&file, "mine").unwrap();
        for folder in [parent.path(), &file] {
            let problem = write("my-sync", folder, Path::new("/sdk")).unwrap_err();
            assert_eq!(problem.kind, Kind::Conflict, "{problem}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }
}
