//! Reading secrets from the environment, a file, or a prompt; never from the command line itself.

use std::io::{IsTerminal, Read};

use tidegate_egress::Secret;
use tidegate_engine::Name;
use tidegate_service::problem::{Problem, Result};
use tidegate_service::secrets::SECRET_BYTES_MAX;

/// Read the secret that a flag `KEY=env:VAR`, `KEY=file:PATH` or `KEY=-` names.
pub(crate) fn parse_flag(flag: &str) -> Result<(String, Secret)> {
    let (key, source) = flag.split_once('=').ok_or_else(|| {
        // The flag could be the secret itself, by mistake: it is not repeated.
        Problem::invalid("--secret takes KEY=env:VAR, KEY=file:PATH or KEY=- (a prompt or stdin)")
    })?;
    let key: Name = key.parse().map_err(|_| {
        Problem::invalid("--secret: the part before '=' must be the secret's name, such as token")
    })?;
    let secret = read_source(&format!("secret {key}"), source)?;
    Ok((key.to_string(), secret))
}

pub(super) fn in_clear(what: &str, write: &str) -> Problem {
    // It could be the secret itself, by mistake: it is not repeated.
    Problem::invalid(format!(
        "{what}: {write}; a secret in clear could be read by other users of this machine, and stays in the \
         shell's history and in backups"
    ))
}

/// What `env:VAR`, `file:PATH` or `-` holds; `what` says what it is for.
pub(crate) fn read_source(what: &str, source: &str) -> Result<Secret> {
    let text = if let Some(variable) = source.strip_prefix("env:") {
        std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => Problem::not_found(format!(
                "{what}: the environment variable {variable} is not set"
            )),
            std::env::VarError::NotUnicode(_) => {
                Problem::invalid(format!("{what}: the variable {variable} is not UTF-8"))
            }
        })?
    } else if let Some(path) = source.strip_prefix("file:") {
        read_file(what, path)?
    } else if source == "-" {
        read_typed(what)?
    } else {
        return Err(in_clear(what, "write env:VAR, file:PATH or -"));
    };
    if text.is_empty() {
        return Err(Problem::invalid(format!("{what} is empty")));
    }
    if text.len() > SECRET_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "{what} has {} bytes; the most is {SECRET_BYTES_MAX}",
            text.len()
        )));
    }
    Ok(Secret::new(text))
}

fn read_file(what: &str, path: &str) -> Result<String> {
    let unreadable = |error| Problem::not_found(format!("{what}: {path}: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    // One byte more, and a line break, tell that it is too long.
    let mut read = file.take(SECRET_BYTES_MAX as u64 + 3);
    read.read_to_string(&mut text).map_err(unreadable)?;
    // Editors end a file with a line break, which is never part of a token.
    if text.ends_with('\n') {
        text.pop();
        text.truncate(text.trim_end_matches('\r').len());
    }
    Ok(text)
}

/// A prompt without echo on a terminal, else all of stdin without its last line break.
fn read_typed(what: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("{what}: "))
            .map_err(|error| Problem::invalid(format!("{what}: {error}")));
    }
    let mut text = String::new();
    let limit = SECRET_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| Problem::invalid(format!("{what} from stdin: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_clear_is_refused_and_not_repeated() {
        for flag in ["token=hunter2", "hunter2", "=env:HOME", "a b=env:HOME"] {
            let problem = parse_flag(flag).unwrap_err().to_string();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn missing_sources_are_named() {
        let problem = parse_flag("token=env:TIDEGATE_NO_SUCH_VARIABLE")
            .unwrap_err()
            .to_string();
        assert!(
            problem.contains("TIDEGATE_NO_SUCH_VARIABLE is not set"),
            "{problem}"
        );
        let problem = parse_flag("token=file:/no/such/file")
            .unwrap_err()
            .to_string();
        assert!(problem.contains("/no/such/file"), "{problem}");
    }
}
