//! How to type this program's name in a command to try next.

use std::env;
use std::path::{Path, PathBuf};

use tidegate_engine::command_line::{CommandLine, quoted};
use tidegate_engine::grant::{GrantFlag, Grants};
use tidegate_engine::{Name, command};

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
        Some(path) => quoted(&format!("./{}", path.display())).into_owned(),
        None => quoted(&program.display().to_string()).into_owned(),
    }
}

/// How it is called from anywhere.
pub(crate) fn anywhere() -> String {
    let Some(program) = own_path() else {
        return "tidegate".to_owned();
    };
    name_on_path(&program).unwrap_or_else(|| quoted(&program.display().to_string()).into_owned())
}

/// A path as a command in the current folder is given it, not quoted yet.
pub(crate) fn path(path: &Path) -> String {
    let cwd = env::current_dir().ok();
    let short = cwd
        .as_deref()
        .and_then(|cwd| path.strip_prefix(cwd).ok())
        .unwrap_or(path);
    match short.display().to_string() {
        here if here.is_empty() => ".".to_owned(),
        // It would pass for an option.
        dashed if dashed.starts_with('-') => format!("./{dashed}"),
        path => path,
    }
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
    (first.canonicalize().ok()? == program).then(|| quoted(&name.to_string_lossy()).into_owned())
}

/// The command that deploys a component with these grants, and with those that its manifest still asks for.
pub(crate) fn deploy(
    file: &Path,
    name: Option<&Name>,
    granted: &Grants,
    missing: &[GrantFlag],
) -> CommandLine {
    let mut command = command!("deploy {file}", path(file)).of_program(here());
    if let Some(name) = name {
        command = command.option("--as", name);
    }
    // A kind of grant that is given replaces what an earlier deploy gave of it, so all are.
    let flags = granted.flags();
    flags
        .iter()
        .chain(missing)
        .fold(command, |command, flag| command.with(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_are_shown_from_here() {
        let cwd = env::current_dir().unwrap();
        assert_eq!(path(&cwd.join("a/b.wasm")), "a/b.wasm");
        assert_eq!(path(&cwd), ".");
        assert_eq!(path(Path::new("/other place")), "/other place");
        assert_eq!(path(Path::new("-x")), "./-x");
    }
}
