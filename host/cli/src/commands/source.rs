//! Where a command's text comes from: the command line itself, a file or stdin.

use std::fs::File;
use std::io::Read;

use tidegate_service::problem::{Problem, Result};

/// The text that `word` stands for: `@FILE`, `-` for stdin, or itself. At most `bytes_max`.
pub(super) fn read_text(what: &str, word: &str, bytes_max: u64) -> Result<String> {
    let text = match (word, word.strip_prefix('@')) {
        ("-", _) => read(what, std::io::stdin().lock(), bytes_max)?,
        (_, Some(path)) => {
            let at = |problem: Problem| problem.at(path);
            let file = File::open(path).map_err(|error| at(Problem::not_found(error)))?;
            read(what, file, bytes_max).map_err(at)?
        }
        (text, None) => text.to_owned(),
    };
    Ok(text)
}

fn read(what: &str, from: impl Read, bytes_max: u64) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(Problem::invalid)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Problem::invalid(format!(
            "{what} is too long; the most is {bytes_max} bytes"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|error| Problem::invalid(format!("{what} is not UTF-8: {error}")))
}
