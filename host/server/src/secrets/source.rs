//! Reading secrets from the environment, a file, or a prompt; never from the command line itself.

use std::io::{IsTerminal, Read};

use tidegate_egress::Secret;
use tidegate_engine::Name;

use crate::problem::{Problem, Result};

/// Most bytes of one secret: a private key in PEM fits.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Read the secret that a flag `KEY=env:VAR`, `KEY=file:PATH` or `KEY=-` names.
pub(crate) fn parse_flag(flag: &str) -> Result<(String, Secret)> {
    let (key, source) = flag.split_once('=').ok_or_else(|| {
        // The flag could be the secret itself, by mistake: it is not repeated.
        Problem::invalid("--secret takes KEY=env:VAR, KEY=file:PATH or KEY=- (a prompt or stdin)")
    })?;
    let key: Name = key.parse().map_err(|_| {
        Problem::invalid("--secret: the part before '=' must be the secret's name, such as token")
    })?;
    let text = if let Some(variable) = source.strip_prefix("env:") {
        std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => Problem::not_found(format!(
                "secret {key}: the environment variable {variable} is not set"
            )),
            std::env::VarError::NotUnicode(_) => Problem::invalid(format!(
                "secret {key}: the variable {variable} is not UTF-8"
            )),
        })?
    } else if let Some(path) = source.strip_prefix("file:") {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Problem::not_found(format!("secret {key}: {path}: {error}")))?;
        // Editors end a file with a line break, which is never part of a token.
        text.strip_suffix('\n')
            .map_or_else(|| text.clone(), |t| t.trim_end_matches('\r').to_owned())
    } else if source == "-" {
        read_typed(&key)?
    } else {
        return Err(Problem::invalid(format!(
            "secret {key}: write env:VAR, file:PATH or -; a secret on the command line could be read by \
             other users of this machine and stays in the shell's history"
        )));
    };
    if text.is_empty() {
        return Err(Problem::invalid(format!("secret {key} is empty")));
    }
    if text.len() > SECRET_BYTES_MAX {
        return Err(Problem::invalid(format!(
            "secret {key} has {} bytes; the most is {SECRET_BYTES_MAX}",
            text.len()
        )));
    }
    Ok((key.to_string(), Secret::new(text)))
}

/// A prompt without echo on a terminal, else all of stdin without its last line break.
fn read_typed(key: &Name) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("secret {key}: "))
            .map_err(|error| Problem::invalid(format!("secret {key}: {error}")));
    }
    let mut text = String::new();
    let limit = SECRET_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| Problem::invalid(format!("secret {key} from stdin: {error}")))?;
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
