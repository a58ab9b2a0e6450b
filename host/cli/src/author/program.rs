//! How to type this program's name in a command to try next.

use std::env;
use std::path::{Path, PathBuf};

/// How this program is called in the current folder: `tidegate` when a shell finds just this file
/// under that name, else its path, relative where that is shorter.
pub(crate) fn here() -> String {
    let Some(program) = own_path() else {
        return "tidegate".to_owned();
    };
    if let Some(name) = name_on_path(&program) {
        return name;
    }
    let below = env::current_dir()
        .ok()
        .and_then(|cwd| cwd.canonicalize().ok());
    let below = below.and_then(|cwd| program.strip_prefix(cwd).ok().map(Path::to_owned));
    match below {
        Some(path) => quoted(&format!("./{}", path.display())),
        None => quoted(&program.display().to_string()),
    }
}

/// How it is called from anywhere.
pub(crate) fn anywhere() -> String {
    let Some(program) = own_path() else {
        return "tidegate".to_owned();
    };
    name_on_path(&program).unwrap_or_else(|| quoted(&program.display().to_string()))
}

/// A path as it is typed in a shell in the current folder.
pub(crate) fn path(path: &Path) -> String {
    let cwd = env::current_dir().ok();
    let short = cwd
        .as_deref()
        .and_then(|cwd| path.strip_prefix(cwd).ok())
        .unwrap_or(path);
    if short.as_os_str().is_empty() {
        return ".".to_owned();
    }
    quoted(&short.display().to_string())
}

fn own_path() -> Option<PathBuf> {
    env::current_exe().ok()?.canonicalize().ok()
}

/// Its file name, when the first of that name on the PATH is this file.
fn name_on_path(program: &Path) -> Option<String> {
    let name = program.file_name()?;
    let path = env::var_os("PATH")?;
    let first = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())?;
    (first.canonicalize().ok()? == program).then(|| quoted(&name.to_string_lossy()))
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, typed) in [
            ("/usr/bin/tidegate", "/usr/bin/tidegate"),
            ("my tide", "'my tide'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }

    #[test]
    fn paths_below_are_shown_from_here() {
        let cwd = env::current_dir().unwrap();
        assert_eq!(path(&cwd.join("a/b.wasm")), "a/b.wasm");
        assert_eq!(path(&cwd), ".");
        assert_eq!(path(Path::new("/other place")), "'/other place'");
    }
}
